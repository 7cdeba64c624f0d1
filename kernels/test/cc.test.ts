// test-timeout: 300
// The C++ tests of test/cc, compiled here without sanitizers for plain code; kernels/test/cc/run.sh runs them with
// sanitizers and for every instruction set.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const script = fileURLToPath(new URL('cc/run.sh', import.meta.url))
const out = mkdtempSync(join(tmpdir(), 'shakti-cc-'))
test.after(() => rmSync(out, { recursive: true }))

const claims = {
  runtime: 'pool, stream and allocator keep order, share threads and never hand out memory twice',
  math: 'exp, log, tanh, erf, sigmoid and GELU are within their bounds of ulps',
  matmul: 'products of random layouts match a plain triple loop',
  elementwise: 'elementwise kernels match plain loops on random layouts',
  reduce: 'reductions match plain loops on random layouts',
  copy: 'moves, casts and placements match plain loops for every pair of dtypes',
  random: 'Philox gives the known answers of its authors, and the ops their distributions',
  rows: 'softmax, norms, losses, SwiGLU, rotary and embedding match plain loops, near and past the caches',
  optim: 'AdamW follows the formula of its paper, and the norm is a plain sum',
}
for (const [name, claim] of Object.entries(claims)) {
  test(`${name}: ${claim}`, () => {
    const { status, stdout, stderr } = spawnSync('sh', [script, 'plain', name], {
      encoding: 'utf8',
      env: { ...process.env, OUT: out, ISAS: 'portable' },
    })
    assert.is(status, 0, `${stdout}\n${stderr}`)
  })
}

test.run()
