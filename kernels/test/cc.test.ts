// test-timeout: 300
// The C++ tests of test/cc, compiled here without sanitizers for plain code; kernels/test/cc/run.sh runs them with
// sanitizers and for every instruction set.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
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
  attention: 'attention matches plain f64 loops for all masks, packings and groupings of heads',
  elementwise: 'elementwise kernels match plain loops on random layouts',
  reduce: 'reductions match plain loops on random layouts',
  copy: 'moves, casts and placements match plain loops for every pair of dtypes',
  random: 'Philox gives the known answers of its authors, and the ops their distributions',
  quant: 'products with quantised weights equal a plain model of them to the bit, for any bytes',
  rows: 'softmax, norms, losses, SwiGLU, rotary and embedding match plain loops, near and past the caches',
  optim: 'AdamW follows the formula of its paper, and the norm is a plain sum',
}
// Above AVX-512 there are units of their own: bf16 pairs, and tiles, which are emulated.
const wide =
  existsSync('/proc/cpuinfo') && readFileSync('/proc/cpuinfo', 'utf8').includes('avx512bw')
for (const [name, claim] of Object.entries(claims)) {
  test(`${name}: ${claim}`, () => {
    const { status, stdout, stderr } = spawnSync('sh', [script, 'plain', name], {
      encoding: 'utf8',
      env: {
        ...process.env,
        OUT: out,
        ISAS: wide && (name === 'matmul' || name === 'attention') ? 'portable avx512' : 'portable',
      },
    })
    assert.is(status, 0, `${stdout}\n${stderr}`)
  })
}

test.run()
