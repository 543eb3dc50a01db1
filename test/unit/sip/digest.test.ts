import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { isProtocolError } from "../../../protocol/errors.ts";
import { Secret } from "../../../protocol/secret.ts";
import { parseAuthValue } from "../../../protocol/sip/credentials.ts";
import { digestHa1, digestResponse } from "../../../protocol/sip/digest.ts";
import { answerChallenge } from "../../../protocol/sip/digest-client.ts";
import {
  COUNT_WINDOW,
  DigestServer,
  MAX_LIVE_NONCES,
  NONCE_LIFETIME_MS,
} from "../../../protocol/sip/digest-server.ts";
import {
  appendHeader,
  headerValue,
  octetText,
  type SipRequest,
  withHeader,
} from "../../../protocol/sip/message.ts";
import { DEFAULT_SIP_TIMERS } from "../../../protocol/sip/transaction.ts";
import { TransactionLayer } from "../../../protocol/sip/transaction-layer.ts";
import { reply, sampleRequest } from "./sample.ts";

const REALM = "atlanta.example.com";
const T0 = 1_750_000_000_000;
const secret = (text: string) => new Secret(Buffer.from(text));
let counter = 0;
const random = (size: number): Buffer => {
  const octets = Buffer.alloc(size);
  counter += 1;
  octets.writeUInt32BE(counter);
  return octets;
};
const client = { username: "alice", password: secret("open sesame"), random };
const ha1 = digestHa1("alice", REALM, client.password);
const ha1Of = (username: string) => (username === "alice" ? ha1 : undefined);
const invite = sampleRequest("INVITE", { body: Buffer.from("v=0") });

const server = (qops: readonly ("auth" | "auth-int")[] = ["auth"]) =>
  new DigestServer({ realm: REALM, nonceKey: secret("k".repeat(32)), random, qops });

/** The request with the client's answer to a challenge. */
function answered(
  made: DigestServer,
  request: SipRequest = invite,
  count = 0,
  at = T0,
): SipRequest {
  const challenged = appendHeader(
    reply(request, 407),
    "Proxy-Authenticate",
    made.challenges(at)[0] ?? "",
  );
  const header = answerChallenge(request, challenged, client, count);
  assert.ok(header !== undefined);
  return appendHeader(request, ...header);
}
const check = (made: DigestServer, request: SipRequest, now = T0) =>
  made.check(request, "Proxy-Authorization", ha1Of, now).kind;

const VECTORS = JSON.parse(
  readFileSync(new URL("../../vectors/rfc7616.json", import.meta.url), "utf8"),
);

for (const { algorithm, username, realm, password, response, ...vector } of VECTORS.cases)
  test(`RFC 7616 §3.9: ${algorithm}`, () => {
    const key = digestHa1(octetText(username), realm, secret(password), algorithm);
    const input = { ...vector, algorithm, ha1: key, body: Buffer.alloc(0) };
    assert.equal(digestResponse(input), response);
  });

test("who knows the password is let in, by auth and by auth-int", () => {
  for (const qops of [["auth"], ["auth-int"], ["auth", "auth-int"]] as const) {
    const made = server(qops);
    assert.deepEqual(made.check(answered(made), "Proxy-Authorization", ha1Of, T0), {
      kind: "authenticated",
      username: "alice",
    });
  }
});

test("the same credentials open once: overheard ones get a new challenge", () => {
  const made = server();
  const request = answered(made);
  assert.equal(check(made, request), "authenticated");
  assert.equal(check(made, request), "stale");
});

test("one nonce serves several requests, in any order within the window, each count once", () => {
  const made = server();
  const challenged = appendHeader(
    reply(invite, 407),
    "Proxy-Authenticate",
    made.challenges(T0)[0] ?? "",
  );
  const use = (nc: number) => {
    const header = answerChallenge(invite, challenged, client, nc - 1);
    return header === undefined ? "none" : check(made, appendHeader(invite, ...header));
  };
  const far = 6 + COUNT_WINDOW;
  const good = [1, 2, 6, 5, far, 7];
  const used = [6, 5, 2, 1, far, 7, 0];
  assert.deepEqual(
    good.map(use),
    good.map(() => "authenticated"),
  );
  assert.deepEqual(
    used.map(use),
    used.map(() => "stale"),
  );
  assert.equal(use(far + COUNT_WINDOW * 2), "authenticated");
  assert.equal(use(far + 1), "stale");
});

test("a retransmission never reaches the check: the transaction absorbs it (RFC 3261 §17.2)", () => {
  const made = server();
  const layer = new TransactionLayer({ timers: DEFAULT_SIP_TIMERS, random });
  const peer = { transport: "udp", address: "192.0.2.1", port: 5060, identities: [] } as const;
  const message = answered(made);
  const verdicts = [0, 500, 1500].flatMap((after) =>
    layer
      .handle({ kind: "received", message, flow: "udp/1", peer }, T0 + after)
      .flatMap((effect) =>
        effect.kind === "deliver-request" ? [check(made, effect.request)] : [],
      ),
  );
  assert.deepEqual(verdicts, ["authenticated"]);
});

test("each algorithm has its row, the preferred first; each user what is kept of him", () => {
  const algorithms = ["SHA-256", "SHA-512-256", "MD5"] as const;
  const made = new DigestServer({
    realm: REALM,
    nonceKey: secret("k".repeat(32)),
    random,
    qops: ["auth"],
    algorithms,
  });
  const challenges = made.challenges(T0);
  assert.deepEqual(
    challenges.map((value) => parseAuthValue(value).params.get("algorithm")),
    algorithms,
  );
  assert.ok(challenges.every((value) => !value.includes("userhash")));
  for (const known of algorithms)
    for (const used of algorithms) {
      const challenged = made
        .challenges(T0)
        .reduce(
          (response, row) => appendHeader(response, "WWW-Authenticate", row),
          reply(invite, 401),
        );
      const header = answerChallenge(invite, challenged, { ...client, algorithms: [used] });
      assert.ok(header !== undefined);
      const kept = digestHa1("alice", REALM, client.password, known);
      const verdict = made.check(
        appendHeader(invite, ...header),
        "Authorization",
        (_name, algorithm) => (algorithm === known ? kept : undefined),
        T0,
      );
      assert.equal(verdict.kind, used === known ? "authenticated" : "rejected");
    }
});

test("MD5 opens nothing where it is not offered, not even unnamed", () => {
  const md5 = digestHa1("alice", REALM, client.password, "MD5");
  const offering = new DigestServer({
    realm: REALM,
    nonceKey: secret("k".repeat(32)),
    random,
    qops: ["auth"],
    algorithms: ["MD5"],
  });
  const challenged = appendHeader(
    reply(invite, 407),
    "Proxy-Authenticate",
    offering.challenges(T0)[0] ?? "",
  );
  const header = answerChallenge(invite, challenged, { ...client, algorithms: ["MD5"] });
  assert.ok(header !== undefined);
  assert.equal(answerChallenge(invite, challenged, client), undefined);
  const unnamed = header[1].replace("algorithm=MD5, ", "");
  const judge = (made: DigestServer, value: string) =>
    made.check(appendHeader(invite, header[0], value), "Proxy-Authorization", () => md5, T0).kind;
  assert.equal(judge(server(), header[1]), "rejected");
  assert.equal(judge(server(), unnamed), "rejected");
  assert.equal(judge(offering, unnamed), "authenticated");
  assert.equal(judge(offering, header[1]), "stale");
});

test("username* and userhash, never offered, are nobody's", () => {
  const made = server();
  const request = answered(made);
  const row = headerValue(request, "Proxy-Authorization") ?? "";
  for (const bad of [
    row.replace('username="alice"', "username*=UTF-8''alice"),
    `${row}, userhash=true`,
  ])
    assert.equal(check(made, withHeader(request, "Proxy-Authorization", bad)), "rejected");
});

test("a changed method, URI or (auth-int) body is rejected", () => {
  const made = server(["auth-int"]);
  const request = answered(made);
  const changed: SipRequest[] = [
    { ...request, method: "BYE" },
    { ...request, uri: "sip:mallory@example.com" },
    { ...request, body: Buffer.from("v=1") },
  ];
  for (const each of changed) assert.equal(check(made, each), "rejected");
  assert.equal(check(made, request), "authenticated");
});

test("any flaw in the credentials is rejected, one verdict for all", () => {
  const made = server();
  const request = answered(made);
  const row = request.headers.at(-1)?.value ?? "";
  const flaws: readonly (readonly [RegExp, string])[] = [
    [/username="alice"/, 'username="bob"'],
    [/username="alice", /, ""],
    [/ nonce="./, ' nonce="_'],
    [/ nonce="[^"]*"/, ' nonce="x"'],
    [/response="./, 'response="g'],
    [/response="[^"]*"/, 'response="00"'],
    [/nc=00000001/, "nc=1"],
    [/cnonce="[^"]*"/, 'cnonce=""'],
    [/qop=auth/, "qop=auth-int"],
    [/, qop=auth/, ""],
    [/algorithm=SHA-256/, "algorithm=MD5"],
  ];
  for (const [from, to] of flaws) {
    assert.match(row, from);
    const bad = withHeader(request, "Proxy-Authorization", row.replace(from, to));
    assert.equal(check(made, bad), "rejected", String(from));
  }
});

test("credentials for others, of other schemes or unreadable are absent ones", () => {
  const made = server();
  const rows = [
    "NoOneKnowsThisScheme opaque-data=here",
    'Digest realm="other", a=b',
    "Digest a",
    "Digest a=1,a=2",
  ];
  assert.equal(check(made, invite), "absent");
  for (const row of rows)
    assert.equal(check(made, appendHeader(invite, "Proxy-Authorization", row)), "absent", row);
  assert.equal(made.check(answered(made), "Authorization", ha1Of, T0).kind, "absent");
});

test("an old nonce is stale, but only for who answers it rightly", () => {
  const made = server();
  const request = answered(made);
  const wrong = answerChallenge(
    invite,
    appendHeader(reply(invite, 407), "Proxy-Authenticate", made.challenges(T0)[0] ?? ""),
    { ...client, password: secret("guess") },
  );
  assert.ok(wrong !== undefined);
  const late = T0 + NONCE_LIFETIME_MS + 1;
  assert.equal(check(made, request, late), "stale");
  assert.equal(check(made, appendHeader(invite, ...wrong), late), "rejected");
  assert.equal(check(made, request, T0 - 1), "stale");
  assert.equal(check(made, request, T0 + NONCE_LIFETIME_MS), "authenticated");
  assert.match(made.challenges(T0, true)[0] ?? "", /stale=true/);
});

test("a nonce of an earlier start is stale for who answers it rightly; of another realm, nothing", () => {
  const made = (nonceKey: string, realm: string) =>
    new DigestServer({ realm, nonceKey: secret(nonceKey.repeat(32)), random, qops: ["auth"] });
  assert.equal(check(server(), answered(made("z", REALM))), "stale");
  assert.equal(check(server(), answered(made("k", "biloxi.example.com"))), "absent");
});

test("counts are kept for a bounded number of nonces; forgotten ones are stale, never replayable", () => {
  const made = server();
  const oldest = answered(made, invite, 0, T0);
  assert.equal(check(made, oldest, T0 + 1), "authenticated");
  for (let index = 0; index < MAX_LIVE_NONCES; index += 1)
    assert.equal(check(made, answered(made, invite, 0, T0 + 1), T0 + 1), "authenticated");
  assert.equal(check(made, oldest, T0 + 1), "stale");
  assert.equal(check(made, answered(made, invite, 0, T0 + 1), T0 + 1), "authenticated");
});

test("a client meets only SHA-256 with qop, and takes the row it can", () => {
  const challenge = (...rows: string[]) =>
    rows.reduce((made, row) => appendHeader(made, "WWW-Authenticate", row), reply(invite, 401));
  const digest = 'Digest realm="r", nonce="n"';
  const refused = [
    'Basic realm="r"',
    "Digest",
    digest,
    `${digest}, qop="auth"`,
    `${digest}, algorithm=MD5, qop="auth"`,
    `${digest}, algorithm=SHA-256, qop="token"`,
    'Digest realm="r", algorithm=SHA-256, qop="auth"',
    'Digest nonce="n", algorithm=SHA-256, qop="auth"',
  ];
  for (const row of refused)
    assert.equal(answerChallenge(invite, challenge(row), client), undefined, row);
  const good = `${digest}, algorithm=sha-256, qop="x, auth", opaque="o\\"p"`;
  const [name, value] = answerChallenge(invite, challenge(...refused, good), client) ?? [];
  assert.equal(name, "Authorization");
  const { params } = parseAuthValue(value ?? "");
  assert.equal(params.get("opaque"), 'o"p');
  assert.equal(params.get("qop"), "auth");
  assert.equal(params.get("nc"), "00000001");
});

test("authentication values refused", () => {
  for (const text of [
    "",
    "Digest",
    'Digest a="b',
    "Digest =b",
    "Digest a=",
    "Di,gest a=b",
    "Digest a=b;c",
  ])
    assert.throws(
      () => parseAuthValue(text),
      (error) => isProtocolError(error, "ERR_SIP_SYNTAX"),
      text,
    );
});
