import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { Secret } from "../../../protocol/secret.ts";
import { parseAuthValue } from "../../../protocol/sip/credentials.ts";
import { type DigestAlgorithm, digestHa1, digestResponse } from "../../../protocol/sip/digest.ts";
import {
  DigestClient,
  type DigestClientSetting,
  MAX_CHALLENGES,
  MAX_REALMS,
  MAX_STALE_IN_A_ROW,
} from "../../../protocol/sip/digest-client.ts";
import { DigestServer, NONCE_LIFETIME_MS } from "../../../protocol/sip/digest-server.ts";
import {
  appendHeader,
  headerRows,
  headerValue,
  octetText,
  type SipRequest,
  type SipResponse,
} from "../../../protocol/sip/message.ts";
import { reply, sampleRequest } from "./sample.ts";

const REALM = "atlanta.example.com";
const T0 = 1_750_000_000_000;
const password = new Secret(Buffer.from("open sesame"));
let drawn = 0;
const random = (size: number): Buffer => {
  drawn += 1;
  return Buffer.alloc(size, drawn);
};
const ha1Of = (username: string, algorithm: DigestAlgorithm) =>
  username === "alice" ? digestHa1("alice", REALM, password, algorithm) : undefined;
const register = sampleRequest("REGISTER", { body: Buffer.from("sealed") });

const serverWith = (algorithms: readonly DigestAlgorithm[] = ["SHA-256"], realm = REALM) =>
  new DigestServer({
    ...{ realm, random, algorithms },
    nonceKey: new Secret(Buffer.alloc(32, 7)),
    qops: ["auth", "auth-int"],
  });
const clientWith = (more: Partial<DigestClientSetting> = {}) =>
  new DigestClient({ username: "alice", password, random, ...more } as DigestClientSetting);

const asking = (status: 401 | 407, ...challenges: readonly string[]): SipResponse =>
  challenges.reduce(
    (made, row) =>
      appendHeader(made, status === 401 ? "WWW-Authenticate" : "Proxy-Authenticate", row),
    reply(register, status),
  );
const paramsOf = (request: SipRequest, field = "Authorization") =>
  parseAuthValue(headerValue(request, field) ?? "").params;

/** Until it is let in or told to stop: how each of its requests was judged. */
function talk(client: DigestClient, made: DigestServer, now = T0): readonly string[] {
  const heard: string[] = [];
  for (let round = 0; round < 5; round += 1) {
    const sent = client.authorize(register);
    const verdict = made.check(sent, "Authorization", ha1Of, now);
    heard.push(verdict.kind);
    if (verdict.kind === "authenticated") return heard;
    const again = client.challenged(
      sent,
      asking(401, ...made.challenges(now, verdict.kind === "stale")),
    );
    if (again === "refused") return [...heard, again];
  }
  return heard;
}

test("one challenge opens the server; later requests need none, until the nonce grows old", () => {
  const [client, made] = [clientWith(), serverWith()];
  assert.deepEqual(talk(client, made), ["absent", "authenticated"]);
  assert.deepEqual(talk(client, made), ["authenticated"]);
  assert.deepEqual(talk(client, made), ["authenticated"]);
  const late = T0 + NONCE_LIFETIME_MS + 1;
  assert.deepEqual(talk(client, made, late), ["stale", "authenticated"]);
});

test("each use of a nonce has its count and a cnonce of its own", () => {
  const client = clientWith();
  client.challenged(register, asking(401, ...serverWith().challenges(T0)));
  const used = [1, 2, 3].map(() => paramsOf(client.authorize(register)));
  assert.deepEqual(
    used.map((params) => params.get("nc")),
    ["00000001", "00000002", "00000003"],
  );
  assert.equal(new Set(used.map((params) => params.get("cnonce"))).size, 3);
});

test("a wrong password is refused after one try, and forgotten", () => {
  const client = clientWith({ password: new Secret(Buffer.from("guess")) });
  const made = serverWith();
  assert.deepEqual(talk(client, made), ["absent", "rejected", "refused"]);
  assert.deepEqual(talk(client, made), ["absent", "rejected", "refused"]);
});

test("a password changed since is asked for once more, then refused", () => {
  const [client, made] = [clientWith(), serverWith()];
  talk(client, made);
  const sent = client.authorize(register);
  assert.equal(paramsOf(sent).get("nc"), "00000002");
  assert.equal(client.challenged(sent, asking(401, ...made.challenges(T0))), "again");
  const second = client.authorize(register);
  assert.equal(client.challenged(second, asking(401, ...made.challenges(T0))), "refused");
});

test("what a server keeps of the password serves as well, for its realm and algorithm alone", () => {
  for (const algorithm of ["SHA-256", "MD5"] as const) {
    const value = digestHa1("alice", REALM, password, algorithm);
    const ha1 = { realm: REALM, algorithm, value };
    const make = () =>
      new DigestClient({ username: "alice", ha1, random, algorithms: ["SHA-256", "MD5"] });
    assert.deepEqual(talk(make(), serverWith([algorithm])), ["absent", "authenticated"]);
    const other = algorithm === "MD5" ? "SHA-256" : "MD5";
    assert.deepEqual(talk(make(), serverWith([other])), ["absent", "refused"]);
    const elsewhere = serverWith([algorithm], "biloxi.example.com");
    assert.deepEqual(talk(make(), elsewhere), ["absent", "refused"]);
    assert.equal(value.isWiped, false);
  }
});

test("the password given stays usable; a realm of its choice is the only one it answers", () => {
  const client = clientWith({ realm: REALM });
  const elsewhere = serverWith(["SHA-256"], "ATLANTA.example.com").challenges(T0);
  assert.equal(client.challenged(register, asking(401, ...elsewhere)), "refused");
  assert.deepEqual(talk(client, serverWith()), ["absent", "authenticated"]);
  assert.equal(password.isWiped, false);
});

const offers: readonly (readonly [
  what: string,
  offered: readonly DigestAlgorithm[],
  known: readonly DigestAlgorithm[] | undefined,
  taken: DigestAlgorithm | undefined,
])[] = [
  ["SHA-256 alone", ["SHA-256"], undefined, "SHA-256"],
  ["the topmost of two strong ones", ["SHA-512-256", "SHA-256"], undefined, "SHA-512-256"],
  ["what it knows below what it does not", ["SHA-512-256", "SHA-256"], ["SHA-256"], "SHA-256"],
  ["never MD5 unasked", ["MD5"], undefined, undefined],
  ["MD5 where allowed and alone", ["MD5"], ["SHA-256", "MD5"], "MD5"],
  ["not MD5, though topmost, beside SHA-256", ["MD5", "SHA-256"], ["MD5", "SHA-256"], "SHA-256"],
];
for (const [what, offered, known, taken] of offers)
  test(`algorithms: ${what}`, () => {
    const client = clientWith(known === undefined ? {} : { algorithms: known });
    const response = asking(401, ...serverWith(offered).challenges(T0));
    const verdict = client.challenged(register, response);
    assert.equal(verdict, taken === undefined ? "refused" : "again");
    const authorized = client.authorize(register);
    assert.equal(headerRows(authorized, "Authorization").length, taken === undefined ? 0 : 1);
    if (taken !== undefined) assert.equal(paramsOf(authorized).get("algorithm"), taken);
  });

test("a realm of integrity is answered by auth-int alone, others as ever", () => {
  const qopFor = (realm: string, qop: string): string | undefined => {
    const client = clientWith({ integrityRealm: REALM });
    const row = `Digest realm="${realm}", nonce="n", algorithm=SHA-256, qop="${qop}"`;
    return client.challenged(register, asking(401, row)) === "again"
      ? paramsOf(client.authorize(register)).get("qop")
      : undefined;
  };
  assert.equal(qopFor(REALM, "auth"), undefined);
  assert.equal(qopFor(REALM, "auth,auth-int"), "auth-int");
  assert.equal(qopFor("edge", "auth"), "auth");
});

test("auth-int before auth, whatever the order; other qops and none at all are refused", () => {
  const taken = (qop: string, qops?: DigestClientSetting["qops"]): string | undefined => {
    const client = clientWith(qops === undefined ? {} : { qops });
    const row = `Digest realm="r", nonce="n", algorithm=SHA-256${qop}`;
    return client.challenged(register, asking(401, row)) === "again"
      ? paramsOf(client.authorize(register)).get("qop")
      : undefined;
  };
  const cases = [
    [', qop="auth,auth-int"', "auth-int"],
    [', qop="auth-int, auth"', "auth-int"],
    [", qop=AUTH", "auth"],
    [', qop="token, auth"', "auth"],
    [', qop="token"', undefined],
    [', qop=""', undefined],
    ["", undefined],
  ] as const;
  for (const [qop, expected] of cases) assert.equal(taken(qop), expected, qop);
  assert.equal(taken(', qop="auth,auth-int"', ["auth"]), "auth");
  assert.equal(taken(', qop="auth-int"', ["auth"]), undefined);
});

test("auth-int binds the body that is sent", () => {
  const [client, made] = [clientWith(), serverWith()];
  client.challenged(register, asking(401, ...made.challenges(T0)));
  const sent = client.authorize(register);
  const changed = { ...sent, body: Buffer.from("Sealed") };
  assert.equal(made.check(changed, "Authorization", ha1Of, T0).kind, "rejected");
  assert.equal(made.check(sent, "Authorization", ha1Of, T0).kind, "authenticated");
});

test("a proxy's challenge is answered in Proxy-Authorization, beside the registrar's", () => {
  const client = clientWith();
  client.challenged(register, asking(407, ...serverWith().challenges(T0)));
  client.challenged(register, asking(401, ...serverWith().challenges(T0)));
  const sent = client.authorize(register);
  for (const field of ["Proxy-Authorization", "Authorization"] as const)
    assert.equal(serverWith().check(sent, field, ha1Of, T0).kind, "authenticated", field);
});

test("each of several realms is answered (RFC 3261 §22.3); one that refuses ends it", () => {
  const client = clientWith();
  const realms = [REALM, "biloxi.example.com"];
  const ask = (...each: readonly string[]) =>
    asking(407, ...each.flatMap((realm) => serverWith(["SHA-256"], realm).challenges(T0)));
  assert.equal(client.challenged(register, ask(...realms)), "again");
  const sent = client.authorize(register);
  const answered = headerRows(sent, "Proxy-Authorization").map(({ value }) =>
    parseAuthValue(value).params.get("realm"),
  );
  assert.deepEqual(answered, realms);
  assert.equal(client.challenged(sent, ask(realms[1] ?? "", "chicago.example.com")), "refused");
  assert.deepEqual(
    headerRows(client.authorize(register), "Proxy-Authorization").map(({ value }) =>
      parseAuthValue(value).params.get("realm"),
    ),
    [REALM],
  );
});

test("a server that calls every nonce stale is not asked for ever", () => {
  const client = clientWith();
  const stale = (nonce: number) =>
    asking(401, `Digest realm="r", nonce="${nonce}", algorithm=SHA-256, qop=auth, stale=TRUE`);
  const verdicts = Array.from({ length: MAX_STALE_IN_A_ROW + 2 }, (_, nonce) =>
    client.challenged(client.authorize(register), stale(nonce)),
  );
  assert.equal(verdicts.pop(), "refused");
  assert.ok(verdicts.every((verdict) => verdict === "again"));
});

test("the same nonce again is a refusal, stale or not", () => {
  for (const stale of ["true", "false"]) {
    const client = clientWith();
    const ask = asking(
      401,
      `Digest realm="r", nonce="n", algorithm=SHA-256, qop=auth, stale=${stale}`,
    );
    assert.equal(client.challenged(register, ask), "again");
    client.authorize(register);
    assert.equal(client.challenged(client.authorize(register), ask), "refused", stale);
  }
});

test("what cannot be met is refused: no row, other schemes, unreadable ones, too many", () => {
  const junk = ['Basic realm="r"', "Digest", 'Digest nonce="n", qop=auth', "Digest a=1,a=2"];
  const good = serverWith().challenges(T0);
  assert.equal(clientWith().challenged(register, asking(401)), "refused");
  assert.equal(clientWith().challenged(register, asking(401, ...junk)), "refused");
  assert.equal(clientWith().challenged(register, asking(401, ...junk, ...good)), "again");
  const flood = Array.from({ length: MAX_CHALLENGES }, () => junk[0] ?? "");
  assert.equal(clientWith().challenged(register, asking(401, ...flood, ...good)), "refused");
});

test("realms are remembered up to a limit, the oldest forgotten first", () => {
  const client = clientWith();
  for (let realm = 0; realm <= MAX_REALMS; realm += 1)
    client.challenged(
      register,
      asking(401, `Digest realm="${realm}", nonce="n", algorithm=SHA-256, qop=auth`),
    );
  const rows = headerRows(client.authorize(register), "Authorization");
  assert.equal(rows.length, MAX_REALMS);
  assert.ok(rows.every(({ value }) => !value.includes('realm="0"')));
});

test("whatever a server asks: a verdict, credentials that can be read, and an end", () => {
  const parameter = fc.oneof(
    fc.constantFrom(
      ...['realm="r"', 'realm="s"', 'nonce="n"', 'nonce="m"', "algorithm=SHA-256"],
      ...["algorithm=MD5", "algorithm=x", 'qop="auth"', "qop=auth-int", "stale=true"],
      ...['opaque="o\\"\\\\"', "userhash=true", 'nonce=""'],
    ),
    fc.string(),
  );
  const row = fc
    .array(parameter, { maxLength: 7 })
    .map((parameters) => `Digest ${parameters.join(", ")}`);
  fc.assert(
    fc.property(
      fc.array(fc.array(row, { maxLength: 4 }), { minLength: 9, maxLength: 9 }),
      (asked) => {
        const client = clientWith({ algorithms: ["SHA-256", "MD5"] });
        for (const rows of asked) {
          const sent = client.authorize(register);
          const verdict = client.challenged(sent, asking(401, ...rows));
          const made = headerRows(client.authorize(register), "Authorization");
          assert.ok(verdict === "refused" || made.length > 0);
          for (const { value } of made) assert.equal(parseAuthValue(value).scheme, "digest");
        }
      },
    ),
  );
});

const VECTORS = JSON.parse(
  readFileSync(new URL("../../vectors/rfc7616.json", import.meta.url), "utf8"),
);
for (const { algorithm, username, realm, ...vector } of VECTORS.cases)
  test(`RFC 7616 §3.9 by the client: ${algorithm}`, () => {
    // The client's cnonce is its own: the response to the example's is computed beside it.
    const client = new DigestClient({
      username: octetText(username),
      password: new Secret(Buffer.from(vector.password)),
      algorithms: [algorithm],
      random,
    });
    const row = `Digest realm="${realm}", nonce="${vector.nonce}", algorithm=${algorithm}, qop="auth"`;
    const request = { ...register, method: vector.method, uri: vector.uri };
    assert.equal(client.challenged(request, asking(401, row)), "again");
    const sent = client.authorize(request);
    const made = paramsOf(sent);
    assert.equal(made.get("nonce"), vector.nonce);
    assert.equal(made.get("nc"), vector.nc);
    assert.equal(made.get("uri"), vector.uri);
    const cnonce = made.get("cnonce") ?? "";
    const key = digestHa1(
      octetText(username),
      realm,
      new Secret(Buffer.from(vector.password)),
      algorithm,
    );
    const input = { ...vector, algorithm, ha1: key, body: request.body };
    assert.equal(digestResponse(input), vector.response);
    assert.equal(made.get("response"), digestResponse({ ...input, cnonce }));
  });
