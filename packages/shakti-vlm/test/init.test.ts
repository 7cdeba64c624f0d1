// Folders of random weights.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { getRngState, manualSeed, ShaktiError } from '@shakti/tensor'
import {
  fromPretrained,
  initPretrained,
  nano,
  ShaktiVlm,
  tiny4B,
  type ShaktiVlmConfigInput,
} from '../src/index.js'
import { assert, rejects, test } from './assert.js'
import { bits, inFolder, same } from './folder.js'

async function made(
  config: ShaktiVlmConfigInput,
  options: Parameters<typeof initPretrained>[2],
): Promise<ShaktiVlm> {
  let model: ShaktiVlm | undefined
  await inFolder(async (folder) => {
    await initPretrained(folder, config, options)
    model = await fromPretrained(folder)
  })
  return model!
}

test('weights depend on the seed and not on the shards or on other random numbers', async () => {
  manualSeed(1)
  const a = await made(nano, { seed: 7 })
  manualSeed(2)
  const before = getRngState()
  const b = await made(nano, { seed: 7, shardBytes: 20_000 })
  assert.equal(getRngState(), before)
  same(a, b)
  const c = await made(nano, { seed: 8 })
  const of = (m: ShaktiVlm): string => bits(m.decoder.model.embedTokens.weight)
  assert.is.not(of(a), of(c))
  const [first, second] = a.decoder.model.layers
  assert.is.not(bits(first!.attn.qProj.weight), bits(second!.attn.qProj.weight))
})

test('each tensor has the mean and deviation that a new model starts from', async () => {
  manualSeed(5)
  const want = new ShaktiVlm(tiny4B).stateDict()
  for (const dtype of ['f32', 'bf16'] as const) {
    const got = (await made(tiny4B, { seed: 3, dtype })).stateDict()
    assert.equal(Object.keys(got), Object.keys(want))
    for (const [name, t] of Object.entries(got)) {
      assert.is(t.dtype, dtype)
      const moments = (x: ArrayLike<number>): [number, number] => {
        let [sum, squares] = [0, 0]
        for (let i = 0; i < x.length; i++) {
          sum += x[i]!
          squares += x[i]! ** 2
        }
        return [sum / x.length, Math.sqrt(squares / x.length)]
      }
      const [mean, rms] = moments(t.float().dataSync() as Float32Array)
      const [wantMean, wantRms] = moments(want[name]!.dataSync() as Float32Array)
      // Five standard errors of either sample.
      const near = (5 * wantRms * Math.SQRT2) / Math.sqrt(t.numel) + wantRms * 0.004
      assert.ok(Math.abs(mean - wantMean) <= near, `${name}: mean ${mean}, ${wantMean}`)
      assert.ok(Math.abs(rms - wantRms) <= near, `${name}: deviation ${rms}, ${wantRms}`)
    }
  }
})

test('nothing is left of a folder that was not finished', async () => {
  await inFolder(async (parent) => {
    const folder = join(parent, 'some', 'model')
    let calls = 0
    const stop = new AbortController()
    await rejects(
      initPretrained(folder, nano, {
        signal: stop.signal,
        onProgress: () => {
          if (++calls === 20) stop.abort()
        },
      }),
      Error,
      'aborted',
    )
    assert.is(calls, 20)
    assert.equal(await readdir(parent), [])
    await rejects(
      initPretrained(folder, nano, {
        onProgress: () => {
          throw new TypeError('of the caller')
        },
      }),
      TypeError,
      'of the caller',
    )
    assert.equal(await readdir(parent), [])
  })
})

test('bad options are refused before a folder is made', async () => {
  await inFolder(async (parent) => {
    const folder = join(parent, 'model')
    await rejects(initPretrained(folder, nano, { seed: -1 }), ShaktiError, 'seed', '-1')
    await rejects(initPretrained(folder, nano, { dtype: 'i32' }), ShaktiError, 'dtype', 'i32')
    await rejects(initPretrained(folder, nano, { shardBytes: NaN }), ShaktiError, 'shardBytes')
    const odd = { ...nano, decoder: { ...nano.decoder, heads: 5 } }
    await rejects(initPretrained(folder, odd), ShaktiError, 'decoder.heads')
    assert.equal(await readdir(parent), [])
  })
})

test('the card of random weights states their licence and their size', async () => {
  await inFolder(async (folder) => {
    await initPretrained(folder, nano)
    assert.match(await readFile(join(folder, 'README.md'), 'utf8'), 'license: apache-2.0')
    assert.match(await readFile(join(folder, 'README.md'), 'utf8'), '158,816 bytes')
  })
})

test.run()
