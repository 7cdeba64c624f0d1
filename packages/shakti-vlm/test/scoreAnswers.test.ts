// Answers against what was expected, with the image, without it, and with another's.
import { manualSeed, noGrad } from '@shakti/tensor'
import {
  generateBatch,
  imageUnderControl,
  nano,
  scoreAnswers,
  ShaktiVlm,
  type Control,
  type EncodedImage,
  type Prompt,
} from '../src/index.js'
import { assert, fill, test } from './assert.js'

manualSeed(11)
const model = new ShaktiVlm({ ...nano, decoder: { ...nano.decoder, tied: false }, imageToken: 5 })
noGrad(() => {
  for (const p of model.parameters()) if (p.ndim > 1) p.mul_(6)
})
const images = [1, 2, 3, 4, 5].map((seed): EncodedImage => {
  const pixels = fill(seed, 16 * 16 * 3).map((v) => 5 * v)
  return { pixels, height: 16, width: 16, patch: 4 }
})
const promptOf = (i: number, image: EncodedImage): Prompt => ({
  ids: [9 + i, 5, 5, 5, 5, 8],
  images: [image],
})
const options = { maxTokens: 4, stopTokens: [] }
const decode = (ids: readonly number[]): string => ids.join(' ')

const answersWith = async (control: Control): Promise<string[]> => {
  const prompts = images.map((_, i) => promptOf(i, imageUnderControl(images, i, control)))
  return (await generateBatch(model, prompts, options)).map(decode)
}

// Right for the even ones when the image is shown.
const seen = await answersWith('none')
const asked = seen.map((answer, i) => ({
  i,
  question: {
    type: i < 2 ? 'first' : 'later',
    text: '',
    answer: i % 2 === 0 ? answer : `${answer} `,
  },
}))
const score = (control: Control, batchSize = 96) =>
  scoreAnswers(model, asked, {
    ...options,
    image: ({ i }) => images[i]!,
    prompt: ({ i }, image) => promptOf(i, image),
    decode,
    control,
    batchSize,
  })

test('an answer is right when every character is; scores are shares of all and of each type', async () => {
  const { accuracy, byType, answered } = await score('none')
  assert.is(accuracy, 3 / 5)
  assert.equal(byType, { first: 1 / 2, later: 2 / 3 })
  assert.equal(
    answered.map(({ i, answer, right }) => ({ i, answer, right })),
    seen.map((answer, i) => ({ i, answer, right: i % 2 === 0 })),
  )
})

test('questions answered a few at a time get the answers that they get together', async () => {
  for (const control of ['none', 'wrong'] as const)
    assert.equal(await score(control, 2), await score(control))
})

test('the controls show mid-grey, or the image half the list away', async () => {
  images.forEach((image, i) => {
    const blank = imageUnderControl(images, i, 'blank')
    assert.is(blank.pixels.length, image.pixels.length)
    assert.ok(blank.pixels.every((p) => p === 0))
    assert.is(imageUnderControl(images, i, 'wrong'), images[(i + 2) % 5])
  })
  for (const control of ['blank', 'wrong'] as const) {
    const got = (await score(control)).answered.map((a) => a.answer)
    assert.equal(got, await answersWith(control))
    assert.not.equal(got, seen)
  }
})

test('of nothing asked nothing is right', async () => {
  const { accuracy, byType, answered } = await scoreAnswers(model, [], {
    ...options,
    image: () => images[0]!,
    prompt: () => promptOf(0, images[0]!),
    decode,
  })
  assert.equal({ accuracy, byType, answered }, { accuracy: 0, byType: {}, answered: [] })
})

test.run()
