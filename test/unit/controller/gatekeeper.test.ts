import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_GUESSES } from "../../../controller/core/guess-limit.ts";
import { Secret } from "../../../protocol/secret.ts";
import { digestHa1 } from "../../../protocol/sip/digest.ts";
import { answerChallenge } from "../../../protocol/sip/digest-client.ts";
import { NONCE_LIFETIME_MS } from "../../../protocol/sip/digest-server.ts";
import { appendHeader, headerValue, type SipRequest } from "../../../protocol/sip/message.ts";
import {
  directory,
  FROM_ALICE,
  FROM_BILOXI,
  FROM_NOBODY,
  ProxyDriver,
  peerWith,
  request,
  requestsOf,
  responsesOf,
  SIP,
  statusOf,
  user,
} from "./proxy-fixture.ts";

const DAVE = { from: "<sip:dave@atlanta.example.com>;tag=d1" };
const random = (size: number) => Buffer.alloc(size, 5);

/** The request again, with credentials for the challenge it met. */
function withCredentials(
  proxy: ProxyDriver,
  sent: SipRequest,
  username = "dave",
  password = "swordfish",
  arrival = FROM_NOBODY,
): SipRequest {
  const [challenge] = responsesOf(proxy.receive(sent, arrival));
  assert.equal(challenge?.response.status, 407);
  const client = { username, password: new Secret(Buffer.from(password)), random };
  const answer = answerChallenge(sent, challenge.response, client);
  assert.ok(answer !== undefined);
  return appendHeader(sent, answer[0], answer[1]);
}

test("a user is known by the certificate of his connection", () => {
  assert.equal(requestsOf(new ProxyDriver().receive(request())).length, 1);
  const upper = peerWith(FROM_ALICE, { identities: ["sip:alice@ATLANTA.example.com"] });
  assert.equal(requestsOf(new ProxyDriver().receive(request(), upper)).length, 1);
});

const FORBIDDEN: readonly [name: string, effects: () => number | undefined][] = [
  ["alice's certificate, dave's name", () => statusOf(new ProxyDriver().receive(request(DAVE)))],
  [
    "a certificate of a user who is not configured",
    () => {
      const eve = "sip:eve@atlanta.example.com";
      const received = request({ from: `<${eve}>;tag=e1` });
      return statusOf(
        new ProxyDriver().receive(received, peerWith(FROM_ALICE, { identities: [eve] })),
      );
    },
  ],
  [
    "a certificate with alice's name for another domain",
    () =>
      statusOf(
        new ProxyDriver().receive(
          request(),
          peerWith(FROM_ALICE, { identities: ["sip:alice@evil.example.com", "urn:x"] }),
        ),
      ),
  ],
  [
    "biloxi in the name of one of ours",
    () => statusOf(new ProxyDriver().receive(request(), FROM_BILOXI)),
  ],
  [
    "biloxi for a third domain",
    () => {
      const received = request({ from: "<sip:bob@biloxi.example.com>;tag=b1" });
      return statusOf(new ProxyDriver().receive(received, FROM_BILOXI));
    },
  ],
  [
    "a From that is no SIP address",
    () => statusOf(new ProxyDriver().receive(request({ from: "<tel:+1234>;tag=t1" }))),
  ],
];

for (const [name, drive] of FORBIDDEN)
  test(`${name}: 403`, () => {
    assert.equal(drive(), 403);
  });

test("biloxi may ask for our users, who are not to be found yet", () => {
  const received = request({
    from: "<sip:bob@biloxi.example.com>;tag=b1",
    uri: "sip:alice@atlanta.example.com",
  });
  assert.equal(statusOf(new ProxyDriver().receive(received, FROM_BILOXI)), 480);
});

test("whoever shows nothing gets a real challenge, whatever name he uses", () => {
  for (const from of [
    "<sip:alice@atlanta.example.com>;tag=a1",
    "<sip:eve@evil.example.com>;tag=e1",
  ]) {
    const [answer] = responsesOf(new ProxyDriver().receive(request({ from }), FROM_NOBODY));
    assert.equal(answer?.response.status, 407);
    assert.match(
      headerValue(answer.response, "Proxy-Authenticate") ?? "",
      /^Digest realm="atlanta\.example\.com", nonce="[\w-]+", algorithm=SHA-256/,
    );
  }
});

test("a password proves a user, and its credentials go no further", () => {
  const proxy = new ProxyDriver();
  const [sent] = requestsOf(proxy.receive(withCredentials(proxy, request(DAVE)), FROM_NOBODY));
  assert.ok(sent !== undefined);
  assert.equal(headerValue(sent.request, "Proxy-Authorization"), undefined);
});

test("a user whose name must be escaped is found by his From and by his credentials", () => {
  const aor = "sip:%23100@atlanta.example.com";
  const secret = new Secret(Buffer.from("swordfish"));
  const ha1 = { sha256: digestHa1("#100", "atlanta.example.com", secret) };
  const users = directory(user(aor, { ha1 }));
  const proxy = new ProxyDriver({ sip: { ...SIP, users } });
  const sent = request({ from: `<${aor}>;tag=d1` });
  assert.equal(
    requestsOf(proxy.receive(withCredentials(proxy, sent, "#100"), FROM_NOBODY)).length,
    1,
  );
  const called = { uri: aor, callId: "to him", from: "<sip:bob@biloxi.example.com>;tag=b1" };
  assert.equal(statusOf(proxy.receive(request(called), FROM_BILOXI)), 480);
});

test("credentials for other realms pass", () => {
  const rows = ['Proxy-Authorization: Digest username="a", realm="chicago.example.com"'];
  const [sent] = requestsOf(new ProxyDriver().receive(request({ rows })));
  assert.match(headerValue(sent?.request ?? request(), "Proxy-Authorization") ?? "", /chicago/);
});

test("the same credentials are good only once", () => {
  const proxy = new ProxyDriver();
  const proven = withCredentials(proxy, request(DAVE));
  assert.equal(requestsOf(proxy.receive(proven, FROM_NOBODY)).length, 1);
  assert.equal(statusOf(proxy.receive(proven, FROM_NOBODY)), 407);
});

test("a wrong password, or a user without one, meets a new challenge", () => {
  const wrong = new ProxyDriver();
  const guess = withCredentials(wrong, request(DAVE), "dave", "guess");
  assert.equal(statusOf(wrong.receive(guess, FROM_NOBODY)), 407);
  const none = new ProxyDriver();
  assert.equal(statusOf(none.receive(withCredentials(none, request(), "alice"), FROM_NOBODY)), 407);
});

test("guesses count against the user whose password is tried, whatever From says", () => {
  const proxy = new ProxyDriver();
  const from = (name: string) => ({ from: `<sip:${name}@atlanta.example.com>;tag=a1` });
  for (let guess = 0; guess < MAX_GUESSES; guess += 1) {
    const wrong = withCredentials(proxy, request(from(`x${guess}`)), "dave", `guess ${guess}`);
    assert.equal(statusOf(proxy.receive(wrong, FROM_NOBODY)), 407);
  }
  const right = withCredentials(proxy, request(DAVE));
  assert.equal(statusOf(proxy.receive(right, FROM_NOBODY)), 407);
});

test("a right password under another's name is forbidden", () => {
  const proxy = new ProxyDriver();
  assert.equal(statusOf(proxy.receive(withCredentials(proxy, request()), FROM_NOBODY)), 403);
});

test("an old nonce is asked for again as stale", () => {
  const proxy = new ProxyDriver();
  const proven = withCredentials(proxy, request(DAVE));
  proxy.now += NONCE_LIFETIME_MS + 1;
  const [answer] = responsesOf(proxy.receive(proven, FROM_NOBODY));
  assert.equal(answer?.response.status, 407);
  assert.match(headerValue(answer.response, "Proxy-Authenticate") ?? "", /stale=true/);
});

test("a user who proved himself by password ends his call on the same connection, or proves himself again", () => {
  const proxy = new ProxyDriver();
  const [sent] = requestsOf(proxy.receive(withCredentials(proxy, request(DAVE)), FROM_NOBODY));
  proxy.reply(sent?.request ?? request(), 200);
  const bye = (cseq: number) =>
    request({
      ...DAVE,
      method: "BYE",
      uri: "sip:bob@10.20.0.2;transport=tcp",
      to: "<sip:bob@biloxi.example.com>;tag=b1",
      cseq,
    });
  const elsewhere = peerWith(FROM_NOBODY, { port: 43_000 }, "flow-other");
  const proven = withCredentials(proxy, bye(2), "dave", "swordfish", elsewhere);
  assert.equal(requestsOf(proxy.receive(proven, elsewhere)).length, 1);
  assert.equal(requestsOf(proxy.receive(bye(3), elsewhere)).length, 1);
});
