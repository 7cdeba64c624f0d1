import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { main } from '../src/cli/main.js'
import { Progress, Rate } from '../src/cli/progress.js'
import { printable, table } from '../src/cli/table.js'
import { corpus, trained } from './samples.js'

const test = suite<{ dir: string }>('shakti-tokenizer', { dir: '' })

test.before(async (context) => {
  context.dir = await mkdtemp(join(tmpdir(), 'shakti-cli-'))
  await trained().save(join(context.dir, 'a'))
  await writeFile(join(context.dir, 'text.txt'), corpus(400).join('\n'))
  await writeFile(join(context.dir, 'hindi.txt'), 'नमस्ते दुनिया\nक्या है\n')
})
test.after(({ dir }) => rm(dir, { recursive: true }))

async function run(argv: string[], input = '', colours = false) {
  const out = { text: '', write: (text: string): unknown => (out.text += text) }
  const err = { text: '', write: (text: string): unknown => (err.text += text) }
  const stdin = Readable.from([Buffer.from(input)])
  const code = await main(argv, { stdin, stdout: out, stderr: err, colours })
  return { code, out: out.text, err: err.text }
}

test('help names the commands, and each command has help with examples', async () => {
  const { code, out } = await run(['--help'])
  assert.is(code, 0)
  for (const name of ['train', 'encode', 'decode', 'inspect', 'compare']) {
    assert.match(out, name)
    const own = await run([name, '--help'])
    assert.is(own.code, 0)
    assert.match(own.out, /Examples\n {2}shakti-tokenizer /)
  }
})

test('wrong arguments exit with 2 and say what would be right', async ({ dir }) => {
  const wrong: [string[], RegExp][] = [
    [[], /COMMAND/],
    [['no'], /no is no command/],
    [['encode'], /no tokenizer is given/],
    [['encode', join(dir, 'a'), '--nope'], /nope/],
    [['train', 'x'], /--out is missing/],
    [['train', '--out', 'x'], /no file or folder/],
    [['train', 'x', '--out', 'y', '--vocab-size', 'many'], /"many"/],
    [['train', 'x', '--out', 'y', '--max-memory', 'much'], /500m or 2g/],
    [['train', 'x', '--out', 'y', '--pattern', 'gpt9'], /gpt2, cl100k/],
    [['train', 'x', '--out', 'y', '--pattern', 'gpt2', '--regex', 'x'], /exclude/],
    [['train', 'x', '--out', 'y', '--held-out', join(dir, 'no')], /does not exist/],
    [['compare', join(dir, 'a')], /two tokenizers/],
    [['decode', join(dir, 'a'), '--ids', '1 x'], /"x" is no id/],
  ]
  for (const [argv, wanted] of wrong) {
    const { code, err } = await run(argv)
    assert.is(code, 2, argv.join(' '))
    assert.match(err, wanted)
  }
})

test('what fails exits with 1 and one line', async ({ dir }) => {
  for (const argv of [
    ['encode', join(dir, 'nothing')],
    ['encode', join(dir, 'a'), join(dir, 'no.txt')],
    ['decode', join(dir, 'a'), '--ids', '99999'],
    ['train', join(dir, 'no'), '--out', join(dir, 'x')],
    ['train', join(dir, 'text.txt'), '--out', join(dir, 'x'), '--vocab-size', '5'],
  ]) {
    const { code, err, out } = await run(argv)
    assert.is(code, 1, argv.join(' '))
    assert.is(out, '')
    assert.is(err.trimEnd().split('\n').length, 1, err)
  }
})

test('train writes what trainFromFiles gives and reports held-out text', async ({ dir }) => {
  const out = join(dir, 'trained')
  const argv = ['train', join(dir, 'text.txt'), '--out', out, '--vocab-size', '600', '--json']
  const { code, out: report } = await run([...argv, '--held-out', join(dir, 'hindi.txt')])
  assert.is(code, 0)
  const { vocabSize, heldOut } = JSON.parse(report)
  assert.is(vocabSize, 600)
  assert.is(heldOut[0].language, 'hindi')
  assert.ok(heldOut[0].bytesPerToken > 1)
  const file = await readFile(join(out, 'tokenizer.json'), 'utf8')
  const again = join(dir, 'again')
  const shown = await run([
    'train',
    join(dir, 'text.txt'),
    '--out',
    again,
    '--vocab-size',
    '600',
    '--held-out',
    join(dir, 'hindi.txt'),
  ])
  assert.match(shown.out, /600 tokens in .*\n\nheld out .*bytes\/token.*\nhindi /)
  assert.is(await readFile(join(again, 'tokenizer.json'), 'utf8'), file)
})

test('encode and decode are inverse, through files, standard input and arguments', async ({
  dir,
}) => {
  const tokenizer = join(dir, 'a')
  const text = await readFile(join(dir, 'hindi.txt'), 'utf8')
  const want = trained().encode(text)
  const fromFile = await run(['encode', tokenizer, join(dir, 'hindi.txt')])
  assert.is(fromFile.out, `${want.join(' ')}\n`)
  assert.is((await run(['encode', join(tokenizer, 'tokenizer.json')], text)).out, fromFile.out)
  assert.is((await run(['decode', tokenizer], fromFile.out)).out, text)
  assert.is((await run(['decode', tokenizer, '--ids', want.join(',')])).out, `${text}\n`)

  const lines = await run(['encode', tokenizer, '--lines', '--json'], text)
  const [first, second, ...more] = lines.out.trimEnd().split('\n')
  assert.equal(JSON.parse(second!), { file: '-', ids: trained().encode('क्या है') })
  assert.is(more.length, 0)
  assert.is((await run(['decode', tokenizer], lines.out)).out, text)
  assert.is((await run(['decode', tokenizer, '--json'], first)).out, '{"text":"नमस्ते दुनिया"}\n')
  assert.is((await run(['encode', tokenizer, '--count'], text)).out, `${want.length}\n`)
  const { tokens } = JSON.parse(
    (await run(['encode', tokenizer, '--text', 'the', '--json', '--tokens'])).out,
  )
  assert.is(tokens.join(''), 'the')
})

test('encode lets text spell special tokens only where it is told to', async ({ dir }) => {
  const count = async (...more: string[]): Promise<string> =>
    (await run(['encode', join(dir, 'a'), '--text', '<|image|>', '--count', ...more])).out
  assert.ok(Number(await count()) > 1)
  assert.is(await count('--allow-special', 'all'), '1\n')
  assert.is(await count('--allow-special', '<|image|>'), '1\n')
})

test('inspect shows the parts, and how a text is cut', async ({ dir }) => {
  const tokenizer = join(dir, 'a')
  const { out } = await run(['inspect', tokenizer, '--text', 'the cat\x1b[2J'])
  for (const wanted of [
    /model +BPE/,
    /pre-tokenizer +Split/,
    /ids +700/,
    /698 +<\|image\|>/,
    /Devanagari +\d/,
  ]) {
    assert.match(out, wanted)
  }
  assert.match(out, /tokens\n {2}the\| cat\|/)
  assert.not.match(out, '\x1b') // neither of ours nor of the text's
  assert.match(
    (await run(['inspect', tokenizer, '--text', 'the cat'], '', true)).out,
    '\x1b[30;46mthe\x1b[0m',
  )
  const facts = JSON.parse((await run(['inspect', tokenizer, '--text', 'x', '--json'])).out)
  assert.is(facts.sizes.ids, 700)
  assert.equal(facts.pieces, [{ id: 120, text: 'x' }])
  assert.ok(facts.longest[0].bytes >= facts.longest[9].bytes)
})

test('compare says where two tokenizers differ first, and exits with 1', async ({ dir }) => {
  const [a, b] = [join(dir, 'a'), join(dir, 'b')]
  await run(['train', join(dir, 'text.txt'), '--out', b, '--vocab-size', '300'])
  const file = join(dir, 'hindi.txt')
  const same = await run(['compare', a, a, file, join(dir, 'text.txt')])
  assert.is(same.code, 0)
  assert.match(same.out, /all ids are equal/)
  assert.match(same.out, /\nall +\d/)
  const source = 'zq\nथ the cat'
  const differ = await run(['compare', a, b, '--json'], source)
  assert.is(differ.code, 1)
  const { difference, files } = JSON.parse(differ.out)
  const [idsA, idsB] = [trained().encode(source), difference.b.id]
  assert.is(difference.a.id, idsA[difference.token])
  assert.not.equal(difference.a.id, idsB)
  const before = trained().decodeBytes(idsA.slice(0, difference.token)).length
  assert.is(difference.byte, before)
  assert.is(difference.line, before > 2 ? 2 : 1)
  assert.is(files[0].tokensA, idsA.length)
  assert.match(
    (await run(['compare', a, b], source)).out,
    /first difference in -, line \d, byte \d+, token \d+: A has/,
  )
})

test('encode shows progress within one text', async ({ dir }) => {
  const now = performance.now.bind(performance)
  let asked = 0
  performance.now = () => now() + 20_000 * asked++ // each look at the clock is 20 s later
  try {
    const text = 'the cat sat '.repeat(300_000)
    const { out, err } = await run(['encode', join(dir, 'a'), '--count'], text)
    assert.ok(Number(out) > 300_000)
    assert.match(err, /^encoding 29 %, .*\nencoding 58 %, /)
  } finally {
    performance.now = now
  }
})

test('progress is silent at first, then a line now and then', () => {
  const lines: string[] = []
  const now = performance.now.bind(performance)
  let ahead = 0
  performance.now = () => now() + ahead
  try {
    const progress = new Progress({ write: (text) => lines.push(text) })
    const rate = new Rate('counting', 1000, (n) => `${Math.round(n)} B/s`)
    progress.update(rate.at(10))
    assert.is(lines.length, 0)
    ahead = 20_000
    progress.update(rate.at(500))
    progress.update(rate.at(510))
    assert.equal(lines, ['counting 50 %, 25 B/s, 20 s left\n'])
  } finally {
    performance.now = now
  }
})

test('tables are aligned by what a terminal shows', () => {
  assert.is(
    table([
      ['a', 'number'],
      ['日本', '1,000'],
      ['हिन्दी', '5'],
    ]),
    'a     number\n日本   1,000\nहिन्दी        5\n',
  )
  assert.is(printable('a\n\x1b\u202e👨‍👩'), 'a\\n\\u{1b}\\u{202e}👨‍👩')
})

test.run()
