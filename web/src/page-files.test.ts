/** Which start a page takes. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { wantsFewBytes } from "./page-files.ts";

test("a slow line, or a person who pays for each byte, gets the start with few of them", () => {
  assert.equal(wantsFewBytes({ downlink: 1.4 }), true);
  assert.equal(wantsFewBytes({ downlink: 10, saveData: true }), true);
});

test("a fast line, and one of which nothing is known, gets the snapshot", () => {
  assert.equal(wantsFewBytes({ downlink: 10, saveData: false }), false);
  assert.equal(wantsFewBytes({}), false);
});
