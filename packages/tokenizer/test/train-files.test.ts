import { mkdtemp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FileFormatError, Tokenizer } from '../src/index.js'
import type { Pruned, TrainProgress } from '../src/index.js'
import { listFiles } from '../src/node/sources.js'
import { corpus, random, sentence } from './samples.js'

const test = suite<{ dir: string }>('training on files', { dir: '' })
const json = (tokenizer: Tokenizer): string => JSON.stringify(tokenizer)

test.before(async (context) => {
  context.dir = await mkdtemp(join(tmpdir(), 'shakti-train-'))
  await mkdir(join(context.dir, 'texts', 'more'), { recursive: true })
  // 9 MB, so that there are three chunks.
  const next = random(5)
  const rare = (): string => Math.floor(next() * 1e9).toString(36)
  const some = Array.from({ length: 4000 }, () => `${sentence(next)} ${rare()}\n`).join('')
  const times = Math.ceil(9_000_000 / Buffer.byteLength(some))
  await writeFile(join(context.dir, 'texts', 'big.txt'), some.repeat(times))
  await writeFile(join(context.dir, 'texts', 'more', 'a.txt'), corpus(50).join('\n'))
  await writeFile(join(context.dir, 'texts', 'empty.txt'), '')
  await symlink('..', join(context.dir, 'texts', 'more', 'back'))
  await writeFile(join(context.dir, 'texts', '.hidden'), 'x'.repeat(999))
})
test.after(({ dir }) => rm(dir, { recursive: true }))

test('folders give their files in the order of their names', async ({ dir }) => {
  const files = await listFiles([join(dir, 'texts')])
  assert.equal(
    files.map(({ path }) => path.slice(dir.length + 7)),
    ['big.txt', 'empty.txt', 'more/a.txt'],
  )
})

test('any number of workers, a stream and one thread give the same tokenizer, also where words are dropped', async ({
  dir,
}) => {
  const paths = [join(dir, 'texts')]
  for (const maxMemory of [2 ** 30, 2 ** 20]) {
    const lost: (Pruned | undefined)[] = []
    const options = { vocabSize: 600, maxMemory, onPruned: (pruned: Pruned) => lost.push(pruned) }
    const all = await Promise.all(
      [0, 2].map((workers) => Tokenizer.trainFromFiles(paths, { ...options, workers })),
    )
    const texts = await Promise.all((await listFiles(paths)).map(({ path }) => readFile(path)))
    all.push(await Tokenizer.trainFromStream(texts, { ...options, workers: 1 }))
    all.push(Tokenizer.train(texts, options))
    assert.is(new Set(all.map(json)).size, 1)
    assert.is(
      new Set(lost.map((pruned) => JSON.stringify(pruned))).size,
      maxMemory < 2 ** 30 ? 1 : 0,
    )
  }
})

test('a training that was stopped goes on to the same result, wherever it was', async ({ dir }) => {
  const paths = [join(dir, 'texts')]
  const options = { vocabSize: 900, workers: 1 }
  const want = json(await Tokenizer.trainFromFiles(paths, options))
  const stops: ((progress: TrainProgress) => boolean)[] = [
    ({ phase }) => phase === 'count',
    ({ phase, done }) => phase === 'count' && done > 5_000_000,
    ({ phase }) => phase === 'merge',
  ]
  const checkpoint = join(dir, 'checkpoint')
  for (const stop of stops) {
    const abort = new AbortController()
    const stopped = await Tokenizer.trainFromFiles(paths, {
      ...options,
      checkpoint,
      signal: abort.signal,
      onProgress: (progress) => {
        if (stop(progress)) abort.abort(new Error('stopped here'))
      },
    }).then(
      () => 'finished',
      (error: Error) => error.message,
    )
    assert.is(stopped, 'stopped here')
  }
  const phases = new Set<string>()
  const onProgress = ({ phase }: TrainProgress): unknown => phases.add(phase)
  assert.is(
    json(await Tokenizer.trainFromFiles(paths, { ...options, checkpoint, onProgress })),
    want,
  )
  assert.equal([...phases], ['merge'])

  await rejects(
    Tokenizer.trainFromFiles(paths, { ...options, vocabSize: 901, checkpoint }),
    /counts\.bin.*fingerprint/,
  )
  const counts = join(checkpoint, 'counts.bin')
  await writeFile(counts, (await readFile(counts)).subarray(0, 5000))
  await rejects(Tokenizer.trainFromFiles(paths, { ...options, checkpoint }), /cut off/)
  await writeFile(counts, 'nothing')
  await rejects(Tokenizer.trainFromFiles(paths, { ...options, checkpoint }), /no checkpoint/)
})

async function rejects(promise: Promise<unknown>, wanted: RegExp): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (e: unknown) => e,
  )
  assert.instance(error, FileFormatError)
  assert.match((error as Error).message, wanted)
}

test('progress goes up to the whole, with a rate', async ({ dir }) => {
  const seen: TrainProgress[] = []
  await Tokenizer.trainFromFiles(join(dir, 'texts'), {
    vocabSize: 400,
    workers: 0,
    onProgress: (progress) => seen.push(progress),
  })
  const counting = seen.filter(({ phase }) => phase === 'count')
  assert.is(counting.at(-1)!.done, counting.at(-1)!.total)
  const merging = seen.filter(({ phase }) => phase === 'merge')
  assert.is(merging.at(-1)!.done, 400 - 256 - 9)
  assert.ok(seen.every(({ perSecond, secondsLeft }) => perSecond >= 0 && (secondsLeft ?? 0) >= 0))
})

test('what is not there is named', async ({ dir }) => {
  await rejects(Tokenizer.trainFromFiles(join(dir, 'no'), { vocabSize: 400 }), /no.*exist/)
})

test.run()
