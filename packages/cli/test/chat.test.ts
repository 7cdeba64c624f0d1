import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DEFAULT_SPECIAL_TOKENS as specialTokens, Tokenizer } from '@shakti/tokenizer'
import { run } from './run.js'

const test = suite<{ dir: string; tiny: string; png: string }>('shakti chat', {
  dir: '',
  tiny: '',
  png: '',
})
test.before(async (context) => {
  context.dir = await mkdtemp(join(tmpdir(), 'shakti-chat-'))
  context.tiny = join(context.dir, 'tiny')
  context.png = join(context.dir, 'a.png')
  await run(['init', '--preset', 'tiny-1b', '--out', context.tiny])
  await sharp({ create: { width: 20, height: 12, channels: 3, background: '#2040a0' } })
    .png()
    .toFile(context.png)
})
test.after(({ dir }) => rm(dir, { recursive: true }))

/** A chat through a pipe: the objects it wrote. */
async function chat(tiny: string, lines: readonly string[], ...more: string[]) {
  const argv = ['chat', tiny, '--max-tokens', '4', '--json', ...more]
  const { code, out, err } = await run(argv, { input: `${lines.join('\n')}\n` })
  const answers =
    out === ''
      ? []
      : out
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line))
  return { code, answers, err }
}

test('each line of a pipe is a question, and what was read is not read again', async ({ tiny }) => {
  const { code, answers, err } = await chat(tiny, ['first?', '', 'second?'])
  assert.is(code, 0, err)
  assert.equal(
    answers.map((a) => a.question),
    ['first?', 'second?'],
  )
  const [first, second] = answers
  assert.is(first.usage.cached, 0)
  // The second prompt begins with the first.
  assert.ok(second.usage.cached >= first.usage.prompt - 1, JSON.stringify(second.usage))
  assert.ok(second.usage.prompt > first.usage.prompt)
})

test('an image goes with the next question and is encoded once', async ({ tiny, png }) => {
  const { code, answers, err } = await chat(tiny, [`/image '${png}'`, 'what?', 'and now?'])
  assert.is(code, 0, err)
  const [first, second] = answers
  assert.ok(first.usage.visual > 0 && first.timing.encode > 0)
  assert.is(second.usage.visual, first.usage.visual)
  assert.is(second.timing.encode, 0)
  const shown = await chat(tiny, ['what?'], '--image', png)
  assert.equal(shown.answers[0].usage, first.usage)
})

test('/clear forgets, /stats and /help speak beside the answers, /exit leaves', async ({
  tiny,
}) => {
  const { code, answers, err } = await chat(tiny, [
    'first?',
    '/clear',
    'first?',
    '/stats',
    '/help',
    '/exit',
    'never?',
  ])
  assert.is(code, 0, err)
  assert.is(answers.length, 2)
  assert.is(answers[0].usage.prompt, answers[1].usage.prompt)
  assert.is(answers[1].text, answers[0].text)
  assert.match(err, /forgotten\.\n.*tokens read.*\nremembered: \d+ positions/)
  assert.match(err, '/image FILE')
})

test('what cannot be done is told, and the chat goes on', async ({ tiny, dir }) => {
  const { code, answers, err } = await chat(tiny, [
    `/image ${join(dir, 'no.png')}`,
    '/nothing',
    '/image',
    'well?',
  ])
  assert.is(code, 1)
  assert.is(answers.length, 1)
  assert.match(err, /ENOENT/)
  assert.match(err, '/nothing is not known')
  assert.match(err, 'needs a file')
})

test('the oldest turns go when the context is full; a question that fits nowhere is refused', async ({
  tiny,
}) => {
  const long = 'x'.repeat(200)
  const { answers, err, code } = await chat(tiny, [long, long, long, 'y'.repeat(600), 'short?'])
  assert.is(code, 1)
  assert.is(answers.length, 4)
  assert.match(err, /the oldest 2 messages were dropped/)
  assert.match(err, /takes \d+ of the 512 tokens of the context/)
  for (const { usage } of answers) assert.ok(usage.prompt + usage.generated <= 512)
})

test('a draft model with other tokens changes no answer, with images and over turns', async ({
  tiny,
  dir,
  png,
}) => {
  const [large, words] = [join(dir, 'large'), join(dir, 'words')]
  const sentence = 'what is red? And what is blue? The answer is: '
  const own = Tokenizer.train([sentence.repeat(3)], { vocabSize: 290, specialTokens })
  await own.save(words)
  const preset = ['--preset', 'tiny-4b', '--seed', '2', '--tokenizer', words]
  await run(['init', ...preset, '--out', large])
  const lines = ['what is red?', `/image '${png}'`, 'And what is 🐞, नमस्ते?', 'blue?']
  const seen = (answers: { text: string; usage: { generated: number } }[]) =>
    answers.map(({ text, usage }) => [text, usage.generated])
  for (const more of [[], ['--temperature', '1.5', '--seed', '3']]) {
    const options = ['--max-tokens', '24', ...more]
    const alone = await chat(large, lines, ...options)
    assert.is(alone.code, 0, alone.err)
    assert.is(alone.answers.length, 3)
    // The same weights, the same tokenizer, another one, and none at all.
    for (const draft of [
      ['--draft', large],
      ['--draft', tiny, '--draft-tokens', '3'],
      ['--lookup', '2'],
    ]) {
      const { code, answers, err } = await chat(large, lines, ...options, ...draft)
      assert.is(code, 0, err)
      // Drawn with a draft of the same tokens the text is another one of the same probability.
      if (more.length === 0 || draft[1] !== large) assert.equal(seen(answers), seen(alone.answers))
      const right = answers.map((a) => a.usage.accepted)
      const guessed = answers.map((a) => a.usage.drafted)
      if (draft[0] === '--draft')
        assert.ok(
          guessed.every((n) => n > 0),
          JSON.stringify(guessed),
        )
      if (draft[1] === large) assert.equal(right, guessed)
    }
  }
})

test('a draft model is left out where its context is too short for what was said', async ({
  tiny,
  dir,
}) => {
  const nano = join(dir, 'nano')
  await run(['init', '--preset', 'nano', '--out', nano])
  const lines = ['first?', 'x'.repeat(120), '/stats']
  const alone = await chat(tiny, lines)
  const { code, answers, err } = await chat(tiny, lines, '--draft', nano)
  assert.is(code, 0, err)
  assert.equal(
    answers.map((a) => a.text),
    alone.answers.map((a) => a.text),
  )
  assert.ok(answers[0].usage.drafted > 0)
  assert.is(answers[1].usage.drafted, undefined)
  const short = await chat(tiny, ['first?', '/stats'], '--draft', nano)
  assert.match(short.err, /; \d+ of \d+ guesses right\n/)
})

test('Ctrl-C stops the answer, not the chat', async ({ tiny }) => {
  const argv = ['chat', tiny, '--max-tokens', '200']
  let stopped = 0
  const { code, out } = await run(argv, {
    input: 'one?\n',
    onText: (io) => {
      if (io.interrupts.interrupt()) stopped++
    },
  })
  assert.is(code, 0)
  assert.is(stopped, 1)
  assert.match(out, / \[stopped\]\n$/)
})

test.run()
