// Prints "passed failed skipped" of a vitest JSON report.
import { readFileSync } from "node:fs";

const report = JSON.parse(readFileSync(process.argv[2], "utf8"));
const suites = report.testResults.filter(
  (one) => one.status === "failed" && one.assertionResults.length === 0,
);
const failed = report.numFailedTests + suites.length;
console.log(report.numPassedTests, failed, report.numPendingTests + report.numTodoTests);
