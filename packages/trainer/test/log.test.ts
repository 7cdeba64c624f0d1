import { appendFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  collate,
  combineLoggers,
  FolderCheckpointer,
  generated,
  JsonlLogger,
  run,
  TensorBoardLogger,
  type LogRecord,
  type Stage,
  type TokenBatch,
} from '../src/index.js'
import { crc32c, maskedCrc32c, tfRecord } from '../src/tensorboard.js'
import { loss, Nano, rejects, someSamples, temporaryFolder } from './nano.js'

test('CRC-32C has its check value and those of RFC 3720', () => {
  const bytes = (make: (i: number) => number): Uint8Array =>
    Uint8Array.from({ length: 32 }, (_, i) => make(i))
  const cases: [Uint8Array, number][] = [
    [Buffer.from('123456789'), 0xe3069283],
    [bytes(() => 0), 0x8a9136aa],
    [bytes(() => 0xff), 0x62a8ab43],
    [bytes((i) => i), 0x46dd794e],
    [bytes((i) => 31 - i), 0x113fdb5c],
    [new Uint8Array(0), 0],
  ]
  for (const [data, want] of cases) assert.is(crc32c(data), want)
})

test('the mask is the one of the record format', () => {
  // ((c >> 15) | (c << 17)) + 0xa282ead8 in 32 bits: 0xe3069283 turns to 0x2507c60d, and the sum wraps.
  assert.is(maskedCrc32c(Buffer.from('123456789')), 0xc78ab0e5)
})

interface Scalars {
  step: number
  wallTime: number
  version?: string
  values: Record<string, number>
}

/** Reads a record file as the format's description says, checking every sum. */
function events(file: Buffer): Scalars[] {
  const out: Scalars[] = []
  for (let at = 0; at < file.length;) {
    const length = Number(file.readBigUInt64LE(at))
    assert.is(file.readUInt32LE(at + 8), maskedCrc32c(file.subarray(at, at + 8)))
    const data = file.subarray(at + 12, at + 12 + length)
    assert.is(data.length, length)
    assert.is(file.readUInt32LE(at + 12 + length), maskedCrc32c(data))
    out.push(event(data))
    at += 16 + length
  }
  return out
}

/** The fields of a protobuf message: [number, value]. */
function fields(data: Buffer): [number, bigint | Buffer][] {
  const out: [number, bigint | Buffer][] = []
  let at = 0
  const varint = (): bigint => {
    let [value, shift] = [0n, 0n]
    for (;;) {
      const byte = data[at++]!
      value |= BigInt(byte & 0x7f) << shift
      shift += 7n
      if (byte < 0x80) return value
    }
  }
  const take = (n: number): Buffer => data.subarray(at, (at += n))
  while (at < data.length) {
    const key = Number(varint())
    const wire = key & 7
    const value =
      wire === 0 ? varint() : wire === 1 ? take(8) : wire === 5 ? take(4) : take(Number(varint()))
    out.push([key >> 3, value])
  }
  assert.is(at, data.length)
  return out
}

function event(data: Buffer): Scalars {
  const out: Scalars = { step: 0, wallTime: 0, values: {} }
  for (const [field, value] of fields(data)) {
    if (field === 1) out.wallTime = (value as Buffer).readDoubleLE()
    else if (field === 2) out.step = Number(value)
    else if (field === 3) out.version = (value as Buffer).toString()
    else {
      assert.is(field, 5)
      for (const [, entry] of fields(value as Buffer)) {
        const parts = new Map(fields(entry as Buffer))
        out.values[(parts.get(1) as Buffer).toString()] = (parts.get(2) as Buffer).readFloatLE()
      }
    }
  }
  return out
}

test('TensorBoard events read back as they were logged', () => {
  const folder = join(temporaryFolder(), 'a', 'b')
  const logger = new TensorBoardLogger(folder)
  const started = Date.now() / 1000
  logger.log({ stage: 'text', step: 0, loss: 2.5, lr: 1e-3 })
  logger.log({ stage: 'text', step: 300, loss: NaN, event: 'warning', message: 'text is left out' })
  logger.log({ stage: 'Ümlaut', step: 2 ** 40, loss: -1e-30 })
  logger.log({ stage: 'text', step: 3, event: 'only words' })
  logger.close()
  assert.match(logger.path, /events\.out\.tfevents\.\d{10}\./)
  const [head, ...rest] = events(readFileSync(logger.path))
  assert.is(head!.version, 'brain.Event:2')
  assert.equal(
    rest.map(({ step, values }) => ({ step, values })),
    [
      { step: 0, values: { 'text/loss': 2.5, 'text/lr': Math.fround(1e-3) } },
      { step: 300, values: { 'text/loss': NaN } },
      { step: 2 ** 40, values: { 'Ümlaut/loss': Math.fround(-1e-30) } },
    ],
  )
  for (const { wallTime } of [head!, ...rest]) assert.ok(Math.abs(wallTime - started) < 60)
  // A second logger of the same second has a file of its own.
  new TensorBoardLogger(folder).close()
  assert.is(readdirSync(folder).length, 2)
})

test('a record is length, sum, data, sum, little-endian', () => {
  const data = Buffer.from('123456789')
  const record = tfRecord(data)
  assert.is(record.toString('hex', 0, 8), '0900000000000000')
  assert.is(record.readUInt32LE(8), maskedCrc32c(record.subarray(0, 8)))
  assert.is(record.toString('latin1', 12, 21), '123456789')
  assert.is(record.toString('hex', 21), 'e5b08ac7')
})

const lines = (path: string): LogRecord[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as LogRecord)

test('every line of the log is an object, whatever is in it', () => {
  const logger = new JsonlLogger(join(temporaryFolder(), 'runs', 'log.jsonl'))
  logger.log({ stage: 'a', step: 1, text: 'two\nlines, "quotes" and \u2028' })
  logger.log({ stage: 'a', step: 2, loss: NaN })
  logger.close()
  assert.equal(lines(logger.path), [
    { stage: 'a', step: 1, text: 'two\nlines, "quotes" and \u2028' },
    { stage: 'a', step: 2, loss: null },
  ])
})

test('a line that a crash tore is cut off, however long, and whole ones stay', () => {
  const path = join(temporaryFolder(), 'log.jsonl')
  for (const torn of ['{"stage":"a"', 'x'.repeat(200_000)]) {
    writeFileSync(path, '{"stage":"a","step":1}\n{"stage":"a","step":2}\n')
    appendFileSync(path, torn)
    const logger = new JsonlLogger(path)
    logger.log({ stage: 'a', step: 3 })
    logger.close()
    assert.equal(
      lines(path).map((l) => l.step),
      [1, 2, 3],
    )
  }
  writeFileSync(path, 'no line at all')
  new JsonlLogger(path).close()
  assert.is(readFileSync(path, 'utf8'), '')
})

test('a run logs each step once, to all its loggers, and what follows a crash has the numbers of a run without one', async () => {
  const folder = temporaryFolder()
  const path = join(folder, 'log.jsonl')
  const stage = (die: boolean): Stage<Nano, TokenBatch> => ({
    name: 's',
    lr: 1e-2,
    steps: 6,
    loss,
    data: generated((step) => {
      if (die && step === 5) throw new Error('power cut')
      return collate(someSamples(4, step))
    }),
  })
  const checkpointer = new FolderCheckpointer(join(folder, 'checkpoints'))
  const go = async (die: boolean): Promise<void> => {
    const tensorboard = new TensorBoardLogger(join(folder, 'tensorboard'))
    const logger = combineLoggers(new JsonlLogger(path), tensorboard)
    const options = { model: new Nano(), logger, checkpointer, saveEvery: 2, quiet: true }
    if (die) await rejects(run(stage(true), options), /power cut/)
    else await run(stage(false), options)
    logger.close()
    const steps = events(readFileSync(tensorboard.path)).slice(1)
    assert.equal(
      steps.map((e) => e.step),
      die ? [0, 1, 2, 3] : [4, 5],
    )
    assert.equal(
      Object.keys(steps[0]!.values),
      ['loss', 'lr', 'gradNorm', 'tokens', 'tokensPerSecond'].map((k) => `s/${k}`),
    )
  }
  await go(true)
  await go(false)
  const got = lines(path)
  assert.equal(
    got.map((l) => l.step),
    [0, 1, 2, 3, 4, 5],
  )
  const whole: LogRecord[] = []
  await run(stage(false), {
    model: new Nano(),
    logger: { log: (r) => void whole.push(r), close: () => undefined },
    quiet: true,
  })
  const without = (records: LogRecord[]): unknown =>
    records.map(({ tokensPerSecond: _, ...record }) => record)
  assert.equal(without(got), without(whole))
})

test.run()
