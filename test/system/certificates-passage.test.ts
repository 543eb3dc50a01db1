/** The passage 'Certificates' of the README, followed word for word on a machine of its own. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type OperatorHost, openOperatorHost, type Ran } from "../../lab/operator-host.ts";
import { REPOSITORY } from "../../lab/site.ts";

type Step =
  | { readonly kind: "command"; readonly text: string; readonly fails: boolean }
  | {
      readonly kind: "file";
      readonly path: string;
      readonly how: "new" | "more";
      readonly text: string;
    };

const PASSAGE =
  /^## Certificates\n(.*?)^## /ms.exec(readFileSync(join(REPOSITORY, "README.md"), "utf8"))?.[1] ??
  "";
/** The passage's controller, phone, and the controller of the other domain. */
const ADDRESSES = ["192.0.2.10", "192.0.2.101", "198.51.100.10"];
/** What is typed where a password is asked for. */
const PASSWORD = "a word of nobody's\n";

/** Commands and files in order. A file's first line names it; `, more` adds to one that is there. */
function readSteps(passage: string): readonly Step[] {
  return [...passage.matchAll(/^```(sh|toml)\n(.*?)^```/gms)].flatMap(
    ([, language = "", text = ""]): readonly Step[] =>
      language === "sh" ? commandsOf(text) : [fileOf(text)],
  );
}

function commandsOf(text: string): readonly Step[] {
  return text
    .replaceAll(/\\\n\s*/g, "")
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => ({ kind: "command", text: line, fails: line.includes("# fails") }));
}

function fileOf(text: string): Step {
  const [, path, more] = /^# (\S+?)(, more)?\n/.exec(text) ?? [];
  assert.ok(path !== undefined, `a file without a name: ${text}`);
  return { kind: "file", path, how: more === undefined ? "new" : "more", text };
}

const steps = readSteps(PASSAGE);
let host: OperatorHost;
const ran = new Map<string, Ran>();

before(async () => {
  host = await openOperatorHost(ADDRESSES);
});
after(() => host?.close());

/** What the first command that begins so printed. */
function printed(beginning: string): string {
  const found = [...ran].find(([text]) => text.startsWith(beginning));
  assert.ok(found !== undefined, `no command '${beginning}'`);
  return found[1].stdout;
}

/** The root of the other domain, got by a way that one trusts. */
function exchangeRoots(): void {
  const names = "--domain biloxi.example.com --controller ss2.biloxi.example.com";
  const made = host.run(`keyhole ca init --out biloxi ${names}`);
  assert.equal(made.code, 0, made.stderr);
  host.run("cp biloxi/ca.pem /etc/keyhole/biloxi-ca.pem");
}

test("the passage has commands and files", () => {
  assert.ok(steps.filter(({ kind }) => kind === "command").length >= 12);
  assert.ok(steps.filter(({ kind }) => kind === "file").length >= 3);
});

for (const step of steps)
  test(step.kind === "command" ? `$ ${step.text}` : `${step.path} as it stands`, () => {
    if (step.kind === "file") {
      if (step.text.includes("biloxi-ca.pem")) exchangeRoots();
      host.write(step.path, step.text, step.how);
      return;
    }
    const result = host.run(step.text, PASSWORD);
    ran.set(step.text, result);
    assert.equal(
      result.code === 0,
      !step.fails,
      `${result.code}: ${result.stdout}${result.stderr}\n${host.log()}`,
    );
  });

test("the check says that it issues certificates", () => {
  assert.match(printed("keyhole controller"), /authority/i);
});

test("what registering showed is what asking showed, and what was listed", () => {
  const [, serial] = /"serial":"([\da-f]+)"/i.exec(printed("keyhole device register")) ?? [];
  assert.ok(serial !== undefined, printed("keyhole device register"));
  assert.ok(printed("keyhole device certificate").toLowerCase().includes(serial.toLowerCase()));
  assert.ok(printed("keyhole ca list").toLowerCase().includes(serial.toLowerCase()));
});

test("the store is its owner's alone", () => {
  assert.equal(host.run("stat -c %a alice.json").stdout.trim(), "600");
});

test("the list of the revoked is one that OpenSSL reads, and names the one", () => {
  const shown = host.run("openssl crl -in /etc/keyhole/issuer.crl -noout -text");
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /Key Compromise/);
});

test("after a revocation the phone registers anew, with another key", () => {
  const again = host.run("keyhole device register --config alice.toml --once");
  assert.equal(again.code, 0, `${again.stdout}${again.stderr}\n${host.log()}`);
  const asked = host.run(
    "keyhole device certificate sip:alice@atlanta.example.com --config alice.toml",
  );
  assert.equal(asked.code, 0, `${asked.stdout}${asked.stderr}`);
});
