/** Looking names up, with a check of where they lead. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type LookupFunction } from "node:net";
import { test } from "node:test";
import { checkedLookup } from "../../../runtime/checked-lookup.ts";

/** What getaddrinfo reads as 127.0.0.1 though it is written as no address. */
const NAME = "2130706433";

type Found = Parameters<Parameters<LookupFunction>[2]>;

const ask = (lookup: LookupFunction, name: string, all: boolean): Promise<Found> =>
  new Promise((resolve) => lookup(name, { all }, (...found) => resolve(found)));

test("a name leads where it may, one address or all of them", async () => {
  const lookup = checkedLookup((address) => address === "127.0.0.1");
  assert.deepEqual(await ask(lookup, NAME, false), [null, "127.0.0.1", 4]);
  assert.deepEqual(await ask(lookup, NAME, true), [null, [{ address: "127.0.0.1", family: 4 }]]);
});

test("a name that leads only where it may not is not found", async () => {
  for (const all of [false, true]) {
    const [error, address] = await ask(
      checkedLookup(() => false),
      NAME,
      all,
    );
    assert.equal(error?.code, "ENOTFOUND");
    assert.equal(address, "");
  }
});

test("a name that is none is not found, whatever it may lead to", async () => {
  const [error] = await ask(
    checkedLookup(() => true),
    "name..invalid",
    false,
  );
  assert.equal(error?.code, "ENOTFOUND");
});

test("a socket connects by it, or does not", async () => {
  const server = createServer((socket) => socket.end()).listen(0, "127.0.0.1");
  await once(server, "listening");
  const bound = server.address();
  const port = typeof bound === "object" ? (bound?.port ?? 0) : 0;
  const reached = connect({ host: NAME, port, lookup: checkedLookup(() => true) });
  await once(reached, "connect");
  reached.destroy();
  const refused = connect({ host: NAME, port, lookup: checkedLookup(() => false) });
  const [error] = await once(refused, "error");
  assert.equal((error as NodeJS.ErrnoException).code, "ENOTFOUND");
  server.close();
});
