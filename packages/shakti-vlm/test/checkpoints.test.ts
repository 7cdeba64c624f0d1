// What the importers make of checkpoints against what transformers makes of them: fixtures/checkpoints.py recorded both.
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { noGrad, saveSafetensors, tensor, tidy, type Tensor } from '@shakti/tensor'
import { importDecoder, importVision } from '../src/index.js'
import { assert, fill, test } from './assert.js'
import { inFolder, relativeDifference } from './folder.js'

interface Case {
  name: string
  config: Record<string, unknown>
  shapes: Record<string, number[]>
  ids?: number[]
  logits?: number[]
  hidden?: number[]
}

const path = fileURLToPath(new URL('fixtures/checkpoints.json', import.meta.url))
const cases = JSON.parse(readFileSync(path, 'utf8')) as Case[]

/** The checkpoint as transformers saved it: its names and shapes, its config, and the values of checkpoints.py. */
async function write(folder: string, { config, shapes }: Case): Promise<void> {
  const tensors: Record<string, Tensor> = {}
  Object.entries(shapes).forEach(([name, shape], k) => {
    const nearOne = (name.includes('norm') && name.endsWith('weight')) || name.includes('lambda')
    const n = shape.reduce((a, b) => a * b, 1)
    tensors[name] = tensor(fill(k, n).map((v) => (nearOne ? Math.fround(1 + v) : v)), { shape })
  })
  await writeFile(join(folder, 'config.json'), JSON.stringify(config))
  await saveSafetensors(join(folder, 'model.safetensors'), tensors)
}

for (const c of cases) {
  if (c.ids && c.logits)
    test(`the decoder of a checkpoint gives the logits of transformers: ${c.name}`, async () => {
      await inFolder(async (folder) => {
        await write(folder, c)
        const { decoder } = await importDecoder(folder)
        const ids = tensor(Int32Array.from(c.ids!), { shape: [1, c.ids!.length] })
        const got = tidy(() =>
          noGrad(() => decoder.logits(decoder.forward(decoder.embed(ids)))),
        ).dataSync()
        const off = relativeDifference(got, c.logits!)
        assert.is(got.length, c.logits!.length)
        assert.ok(off < 5e-6, `${off}`)
      })
    })
  if (c.hidden)
    test(`the encoder of a checkpoint differs in what the report says alone: ${c.name}`, async () => {
      await inFolder(async (folder) => {
        await write(folder, c)
        const { encoder, report } = await importVision(folder, { partial: true })
        assert.ok(report.differences.length >= 4)
        const pixels = tensor(fill(300, 12 * 12 * 3).map((v) => Math.fround(5 * v)), {
          shape: [1, 12, 12, 3],
        })
        const got = tidy(() => noGrad(() => encoder.forward(pixels, 4))).dataSync()
        const off = relativeDifference(got, c.hidden!)
        assert.is(got.length, c.hidden!.length)
        assert.ok(off < 5e-6, `${off}`)
      })
    })
}

test.run()
