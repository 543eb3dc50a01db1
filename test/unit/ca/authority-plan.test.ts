import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type AuthorityRequest, planAuthority } from "../../../ca/core/authority-plan.ts";
import { formatPlanTable } from "../../../ca/core/plan-table.ts";

const REQUEST: AuthorityRequest = {
  domain: "atlanta.example.com",
  controller: "ss1.atlanta.example.com",
  users: ["sip:alice@atlanta.example.com", "sip:bob@biloxi.example.com"],
  addresses: ["10.10.0.1", "2001:db8::1"],
  keyType: "p256",
};

describe("planAuthority", () => {
  test("plans every file once", () => {
    const plan = planAuthority(REQUEST);
    assert.ok(plan.kind === "plan");
    const files = plan.items.map(({ publicFile, privateFile }) => `${publicFile} ${privateFile}`);
    assert.deepEqual(files, [
      "ca.pem ca.key",
      "issuer.pem issuer.key",
      "ss1.atlanta.example.com.pem ss1.atlanta.example.com.key",
      "alice.pem alice.key",
      "bob.pem bob.key",
      "order.pub order.key",
      "recorder.pub recorder.key",
      "archive.pub archive.key",
      "ledger.pub ledger.key",
    ]);
  });

  test("names host, addresses and users", () => {
    const plan = planAuthority(REQUEST);
    assert.ok(plan.kind === "plan");
    const names = plan.items.map((item) =>
      item.kind === "certificate" ? item.alternativeNames : [],
    );
    assert.deepEqual(names[2], [
      { kind: "dns", name: "ss1.atlanta.example.com" },
      { kind: "uri", uri: "sip:atlanta.example.com" },
      { kind: "address", octets: Buffer.of(10, 10, 0, 1) },
      {
        kind: "address",
        octets: Buffer.from(`20010db8${"00".repeat(11)}01`, "hex"),
      },
    ]);
    assert.deepEqual(names[3], [{ kind: "uri", uri: "sip:alice@atlanta.example.com" }]);
  });

  test("plans an installation whose users get theirs by registering", () => {
    const plan = planAuthority({ ...REQUEST, users: [] });
    assert.ok(plan.kind === "plan");
    assert.equal(plan.items.length, 7);
  });

  const refused: Record<string, readonly [Partial<AuthorityRequest>, readonly RegExp[]]> = {
    "a domain that is none": [{ domain: "a b" }, [/--domain 'a b'/]],
    "a controller that is none": [{ controller: "../ss1" }, [/--controller/, /ss1/]],
    "a user without a domain": [{ users: ["sip:alice"] }, [/--user 'sip:alice'/]],
    "a user by telephone": [{ users: ["tel:+1555"] }, [/--user/]],
    "a user with a path for a name": [{ users: ["sip:../alice@a.example"] }, [/--user/]],
    "a user with parameters": [{ users: ["sip:alice@a.example;transport=tls"] }, [/--user/]],
    "an address that is none": [{ addresses: ["10.10.0"], users: [] }, [/--address '10.10.0'/]],
    "two users of one name": [
      { users: ["sip:alice@a.example", "sip:alice@b.example"] },
      [/^alice\.key: two owners/, /^alice\.pem: two owners/],
    ],
    "a user who takes the authority's file": [
      { users: ["sip:ca@a.example"] },
      [/^ca\.key/, /^ca\.pem/],
    ],
    "a user who takes the issuer's file": [{ users: ["sip:issuer@a.example"] }, [/^issuer\.key/]],
    "a user who takes a program's key": [{ users: ["sip:order@a.example"] }, [/^order\.key/]],
    "all faults at once": [
      { domain: "-", addresses: ["x"], users: ["y"] },
      [/--domain/, /--address/, /--user/],
    ],
  };
  for (const [what, [change, faults]] of Object.entries(refused))
    test(`refuses ${what}`, () => {
      const plan = planAuthority({ ...REQUEST, ...change });
      assert.ok(plan.kind === "refused");
      for (const fault of faults)
        assert.ok(
          plan.faults.some((found) => fault.test(found)),
          `${fault} in ${plan.faults}`,
        );
    });
});

test("the table has a line for each file and even columns", () => {
  const plan = planAuthority(REQUEST);
  assert.ok(plan.kind === "plan");
  const lines = formatPlanTable(plan.items).trimEnd().split("\n");
  assert.equal(lines.length, 1 + 2 * plan.items.length);
  const column = lines[0]?.indexOf("mode") ?? -1;
  for (const line of lines.slice(1)) assert.match(line.slice(column), /^06(44|00) /);
});
