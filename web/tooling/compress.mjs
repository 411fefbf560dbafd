// Writes the brotli form of files, as a server sends it, where it is smaller. What was compressed before is kept.
//
//   node compress.mjs '{"cache": FOLDER, "files": [{"input": FILE, "output": FILE}]}'
//
// Prints nothing. The best quality costs a minute for ten megabytes, so the cache goes by the content's hash.
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants } from "node:zlib";

const compress = promisify(brotliCompress);
const { cache, files } = JSON.parse(process.argv[2]);
const AT_ONCE = 2;
const QUALITY = 11;
/** Less is not worth a second file. */
const WORTH = 0.98;

mkdirSync(cache, { recursive: true });
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    for (let next = files.pop(); next; next = files.pop()) await write(next);
  }),
);

async function write({ input, output }) {
  const bytes = readFileSync(input);
  const kept = join(cache, `${createHash("sha256").update(bytes).digest("hex")}-${QUALITY}.br`);
  if (!existsSync(kept)) {
    const { BROTLI_PARAM_LGWIN, BROTLI_PARAM_QUALITY, BROTLI_PARAM_SIZE_HINT } = constants;
    const params = {
      [BROTLI_PARAM_QUALITY]: QUALITY,
      [BROTLI_PARAM_LGWIN]: 24,
      [BROTLI_PARAM_SIZE_HINT]: bytes.length,
    };
    const draft = `${kept}.${process.pid}`;
    writeFileSync(draft, await compress(bytes, { params }));
    renameSync(draft, kept);
  }
  if (readFileSync(kept).length > bytes.length * WORTH) return;
  mkdirSync(dirname(output), { recursive: true });
  copyFileSync(kept, output);
}
