// The sample is a PDF that PDFium reads; its pages reach the processor as they were counted.
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ImageProcessor, shaktiVlm1B } from '@shakti/vlm'
import { pdfPages } from '../src/pages.js'
import { samplePdf } from '../src/sample.js'

const processor = new ImageProcessor({ vision: shaktiVlm1B.vision, merge: 2 })

test('the sample has three pages of the sizes it was written with', async () => {
  const sizes: number[][] = []
  for await (const { number, width, height } of pdfPages(samplePdf(), 144))
    sizes.push([number, width, height])
  assert.equal(sizes, [
    [1, 1190, 1684],
    [2, 1684, 1190],
    [3, 408, 2400],
  ])
})

test('a rendered page shows ink where it was drawn, and has the tokens that were counted', async () => {
  for await (const page of pdfPages(samplePdf(), 72)) {
    const png = await page.render()
    const { data, info } = await sharp(png)
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true })
    assert.equal([info.width, info.height], [page.width, page.height])
    const at = (x: number, y: number): number[] => {
      const i = (y * info.width + x) * 3
      return [...data.subarray(i, i + 3)]
    }
    assert.equal(at(1, 1), [255, 255, 255])
    // The letter's red bar lies 40 to 64 points above its lower edge.
    if (page.number === 1) assert.equal(at(100, page.height - 52), [204, 26, 26])
    const tokens = await processor.count(page)
    assert.is(processor.tokens(await processor.encode(png)), tokens)
  }
})

test('what is no PDF is an error', async () => {
  let message = ''
  try {
    for await (const page of pdfPages(Buffer.from('no pdf'), 72)) await page.render()
  } catch (error) {
    message = (error as Error).message
  }
  assert.match(message, /format|PDF/i)
})

test.run()
