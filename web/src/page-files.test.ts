/** Which start a page takes. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { wantsFewBytes } from "./page-files.ts";

test("a slow line, or a person who pays for each byte, gets the start with few of them", () => {
  assert.equal(wantsFewBytes({ effectiveType: "3g" }), true);
  assert.equal(wantsFewBytes({ effectiveType: "4g", saveData: true }), true);
});

test("a fast line, and one of which nothing is known, gets the snapshot", () => {
  assert.equal(wantsFewBytes({ effectiveType: "4g", saveData: false }), false);
  assert.equal(wantsFewBytes({}), false);
});
