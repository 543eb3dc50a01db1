import assert from "node:assert/strict";
import { test } from "node:test";
import { Multimap } from "../../../controller/core/multimap.ts";

test("members stand under their key, each once, until they leave", () => {
  const map = new Multimap<string>();
  for (const member of ["a", "b", "a"]) map.add("one", member);
  map.add("other", "c");
  const before = map.of("one");
  assert.deepEqual(before, ["a", "b"]);
  assert.equal(map.countOf("one"), 2);
  map.delete("one", "a");
  map.delete("one", "nobody");
  map.delete("none", "a");
  assert.deepEqual([map.of("one"), map.of("other"), map.of("none")], [["b"], ["c"], []]);
  assert.deepEqual(before, ["a", "b"], "a list that was given out stays");
  map.delete("one", "b");
  assert.equal(map.countOf("one"), 0);
});
