// Asks a trained model about an image file, with the answer streamed.
import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import sharp from 'sharp'
import { Tokenizer } from '@shakti/tokenizer'
import { fromPretrained, generate, ImageProcessor } from '@shakti/vlm'

const help = `Asks a model that the quickstart trained about an image of yours.

  npm run ask -- IMAGE QUESTION [options]

  --model DIR        folder of the model (default runs/quickstart/model)
  --temperature T    0 always takes the likeliest token (default 0)
  --top-p P          keep the likeliest tokens that reach this probability (default 1)
  --max-tokens N     (default 48)
  --seed N           (default 0)
  --help

  npm run ask -- photo.png "what is in the top left?"
  npm run ask -- photo.png "describe the picture."

The quickstart's model knows 48 x 48 pictures with four things on tinted paper; other images are fitted into that size.`

function fail(message: string): never {
  console.error(message)
  process.exit(2)
}

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        model: { type: 'string' },
        temperature: { type: 'string', default: '0' },
        'top-p': { type: 'string', default: '1' },
        'max-tokens': { type: 'string', default: '48' },
        seed: { type: 'string', default: '0' },
        help: { type: 'boolean' },
      },
    })
  } catch (error) {
    return fail(`${(error as Error).message}\n\n${help}`)
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parse()
  if (values.help) return console.log(help)
  const [file, question] = positionals
  if (file === undefined || question === undefined)
    fail(`an image and a question are needed.\n\n${help}`)
  const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..')
  const from = process.env['INIT_CWD'] ?? process.cwd()
  const folder =
    values.model === undefined ? join(root, 'runs/quickstart/model') : resolve(from, values.model)
  if (!existsSync(join(folder, 'config.json')))
    fail(`${folder} holds no model. Train one first: npm run quickstart`)

  const model = await fromPretrained(folder)
  const tokenizer = await Tokenizer.fromPretrained(folder)
  const { vision, projector } = model.config
  const processor = new ImageProcessor({ vision, merge: projector.merge })
  const path = resolve(from, file)
  if (!existsSync(path)) fail(`there is no file ${path}.`)
  // Decoded once with all limits, then fitted into the size that the model was trained on.
  await processor.encode(path)
  const fitted = await sharp(path, { limitInputPixels: 64_000_000, pages: 1 })
    .rotate()
    .flatten({ background: '#ffffff' })
    .resize(48, 48, { fit: 'contain', background: '#ffffff' })
    .png()
    .toBuffer()
  const { vision: v } = model.config
  const largest = v.patchSizes.at(-1)!
  const image = await new ImageProcessor({
    vision: { patchSizes: [largest], maxPatches: v.maxPatches },
    merge: projector.merge,
  }).encode(fitted)

  const prompt = tokenizer.applyChatTemplate(
    [{ role: 'user', content: [{ type: 'image' }, { type: 'text', text: question }] }],
    {
      addGenerationPrompt: true,
      imageTokens: [processor.tokens(image)],
    },
  )
  const end = tokenizer.tokenToId('<|end_of_turn|>')
  const controller = new AbortController()
  process.once('SIGINT', () => controller.abort())
  try {
    for await (const { text } of generate(
      model,
      { ids: prompt.ids, images: [image] },
      {
        tokenizer,
        stopTokens: end === undefined ? [] : [end],
        temperature: Number(values.temperature),
        topP: Number(values['top-p']),
        maxTokens: Number(values['max-tokens']),
        seed: Number(values.seed),
        signal: controller.signal,
      },
    )) {
      process.stdout.write(text)
    }
    process.stdout.write('\n')
  } catch (error) {
    if (controller.signal.aborted) process.exit(130)
    throw error
  }
}

try {
  await main()
} catch (error) {
  // What went wrong with the user's file or options, without a stack.
  fail((error as Error).message)
}
