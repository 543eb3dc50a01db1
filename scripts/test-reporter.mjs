/**
 * A reporter for node:test: a line a file as it ends, every failure whole, every skip with its
 * reason, the coverage in one line, and a closing count.
 */
import { relative } from "node:path";
import { inspect } from "node:util";

// biome-ignore lint/style/noDefaultExport: the runner asks for one.
export default async function* report(source) {
  const files = new Map();
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const failures = [];
  const skips = [];
  for await (const { type, data } of source) {
    switch (type) {
      case "test:pass":
      case "test:fail": {
        const file = fileOf(files, data.file);
        if (data.nesting === 0) file.ms += data.details.duration_ms;
        if (data.details.type === "suite" && type === "test:pass") break;
        file.tests += 1;
        if (type === "test:fail" && data.todo === undefined) {
          counts.failed += 1;
          file.failed += 1;
          failures.push(data);
        } else if (data.skip !== undefined) {
          counts.skipped += 1;
          skips.push(data);
        } else counts.passed += 1;
        break;
      }
      case "test:stderr":
        yield data.message;
        break;
      case "test:summary":
        if (data.file !== undefined) yield fileLine(data.file, fileOf(files, data.file));
        break;
      case "test:coverage":
        yield coverageLine(data.summary.totals);
        break;
      case "test:diagnostic":
        if (/coverage does not meet threshold|not report code coverage/.test(data.message)) {
          counts.failed += 1;
          yield `✗ ${data.message}\n`;
        }
        break;
    }
  }
  for (const { name, file, skip } of skips)
    yield `skipped: ${short(file)}: ${name}: ${skip === true ? "no reason given" : skip}\n`;
  for (const { name, file, line, details } of failures)
    yield `\n✗ ${short(file)}:${line}: ${name}\n${indented(inspect(details.error.cause ?? details.error))}\n`;
  yield `\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`;
}

function fileOf(files, name) {
  const file = files.get(name) ?? { tests: 0, failed: 0, ms: 0 };
  files.set(name, file);
  return file;
}

function fileLine(name, { tests, failed, ms }) {
  const verdict = failed > 0 ? "✗" : "✓";
  const count = failed > 0 ? `${failed} of ${tests} failed` : `${tests}`;
  return `${verdict} ${short(name).padEnd(64)} ${count.padStart(5)} ${(ms / 1000).toFixed(1).padStart(7)} s\n`;
}

function coverageLine({ coveredLinePercent, coveredBranchPercent }) {
  const [lines, branches] = [coveredLinePercent, coveredBranchPercent].map((p) => p.toFixed(1));
  return `coverage of the pure cores: ${lines} % of lines, ${branches} % of branches\n`;
}

function indented(text) {
  return text.replace(/^/gm, "    ");
}

function short(file) {
  return file === undefined ? "?" : relative(process.cwd(), file);
}
