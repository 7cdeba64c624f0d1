// Pages of a PDF for Shakti-VLM: how many tokens each takes, told before it is rendered, then the pixels themselves.
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { ImageProcessor, shaktiVlm1B } from '@shakti/vlm'
import { pdfPages } from './pages.js'
import { samplePdf } from './sample.js'

const help = `Brings the pages of a PDF through Shakti-VLM-1B's image processor.

  npm run documents -- [FILE.pdf] [options]     (without a file: three pages written by the example)

  --dpi N         pixels to the inch of the rendered page (default 150)
  --max-pixels N  pixels of what the model sees, at most (default: 4,096 patches of whatever size fits)
  --patch N       patch size, one of ${shaktiVlm1B.vision.patchSizes.join(', ')} (default: the smallest that fits)
  --help

  npm run documents -- contract.pdf --dpi 200
  npm run documents -- --max-pixels 802816`

function usage(message: string): never {
  console.error(`${message}\n\n${help}`)
  process.exit(2)
}

function integer(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  const n = Number(value)
  return Number.isSafeInteger(n) && n > 0
    ? n
    : usage(`--${name} must be a positive integer, got '${value}'.`)
}

function options() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        dpi: { type: 'string' },
        'max-pixels': { type: 'string' },
        patch: { type: 'string' },
        help: { type: 'boolean' },
      },
    })
  } catch (error) {
    return usage((error as Error).message)
  }
}

async function main(): Promise<void> {
  const { values, positionals } = options()
  if (values.help) return console.log(help)
  if (positionals.length > 1) usage(`one file at a time, got ${positionals.join(', ')}.`)
  const dpi = integer('dpi', values.dpi) ?? 150
  const maxPixels = integer('max-pixels', values['max-pixels'])
  const patch = integer('patch', values.patch)
  const [file] = positionals
  // npm runs this in the example's folder; paths of the user's are meant from where they typed.
  const pdf = file ? await readFile(resolve(process.env['INIT_CWD'] ?? '.', file)) : samplePdf()

  const { vision, projector, decoder } = shaktiVlm1B
  const processor = new ImageProcessor({
    vision,
    merge: projector.merge,
    ...(maxPixels === undefined ? {} : { maxPixels }),
  })
  const choice = patch === undefined ? {} : { patch }
  console.log('page  rendered     the model sees  patch  tokens  render ms  encode ms')
  let total = 0
  for await (const page of pdfPages(pdf, dpi)) {
    // A page that is too large, by its own claim, is refused here and never rendered.
    const tokens = await processor.count(page, choice)
    const start = performance.now()
    const png = await page.render()
    const rendered = performance.now()
    const image = await processor.encode(png, choice)
    const encoded = performance.now()
    if (processor.tokens(image) !== tokens) throw new Error(`page ${page.number} was miscounted.`)
    total += tokens
    const cells: [string | number, number][] = [
      [page.number, 4],
      [`${page.width} x ${page.height}`, -11],
      [`${image.width} x ${image.height}`, -14],
      [image.patch, 5],
      [tokens, 6],
      [(rendered - start).toFixed(0), 9],
      [(encoded - rendered).toFixed(0), 9],
    ]
    console.log(
      cells.map(([v, n]) => (n < 0 ? String(v).padEnd(-n) : String(v).padStart(n))).join('  '),
    )
  }
  console.log(
    `${total} tokens: ${((100 * total) / decoder.context).toFixed(0)} % of a context of ${decoder.context.toLocaleString('en')}`,
  )
}

await main().catch((error: unknown) => {
  console.error((error as Error).message)
  process.exitCode = 1
})
