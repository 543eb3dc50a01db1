import assert from "node:assert/strict";
import { test } from "node:test";
import { REMEMBERED_PEERS, RecentPeers } from "../../../runtime/sip-transport-peers.ts";

test("a sender is named once while it is remembered, and never by another's name", () => {
  let described = 0;
  const peers = new RecentPeers((address, port) => {
    described += 1;
    const peer = { transport: "udp", address, port, identities: [] } as const;
    return { flow: `${address} ${port}`, peer };
  });
  const first = peers.at("192.0.2.1", 5060);
  assert.equal(peers.at("192.0.2.1", 5060).peer, first.peer);
  assert.equal(described, 1);
  const addresses = ["192.0.2.1", "192.0.2.11", "198.51.100.1", "2001:db8::1", "fe80::1%eth0"];
  for (let port = 1; port <= 2 * REMEMBERED_PEERS; port += 1)
    for (const address of addresses)
      assert.equal(peers.at(address, port).flow, `${address} ${port}`);
  assert.equal(described, 1 + 2 * REMEMBERED_PEERS * addresses.length);
  assert.notEqual(peers.at("192.0.2.1", 5060).peer, first.peer);
});
