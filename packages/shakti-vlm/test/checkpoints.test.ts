// What the importers make of checkpoints against what transformers makes of them: fixtures/checkpoints.py recorded both.
import { noGrad, tensor, tidy } from '@shakti/tensor'
import { importDecoder, importVision } from '../src/index.js'
import { assert, fill, test } from './assert.js'
import { cases, writeCheckpoint } from './checkpoints.js'
import { inFolder, relativeDifference } from './folder.js'

for (const c of cases) {
  if (c.ids && c.logits)
    test(`the decoder of a checkpoint gives the logits of transformers: ${c.name}`, async () => {
      await inFolder(async (folder) => {
        await writeCheckpoint(folder, c)
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
        await writeCheckpoint(folder, c)
        const { encoder, report } = await importVision(folder, { partial: true })
        assert.ok(report.differences.length >= 4)
        const pixels = tensor(
          fill(300, 12 * 12 * 3).map((v) => Math.fround(5 * v)),
          {
            shape: [1, 12, 12, 3],
          },
        )
        const got = tidy(() => noGrad(() => encoder.forward(pixels, 4))).dataSync()
        const off = relativeDifference(got, c.hidden!)
        assert.is(got.length, c.hidden!.length)
        assert.ok(off < 5e-6, `${off}`)
      })
    })
}

test.run()
