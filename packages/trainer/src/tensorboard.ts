// TensorBoard event files: records of TensorFlow's TFRecord format (length, masked CRC-32C of it, data, masked CRC-32C of
// that) that hold Event messages in protobuf. Two message types with seven fields; written by hand.
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Logger, LogRecord } from './log.js'

const table = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1
  return c
})

/** CRC-32C (Castagnoli, RFC 3720 appendix B.4). */
export function crc32c(bytes: Uint8Array): number {
  let c = 0xffffffff
  for (const b of bytes) c = table[(c ^ b) & 0xff]! ^ (c >>> 8)
  return (c ^ 0xffffffff) >>> 0
}

/** Rotated and shifted, so that a CRC over data that holds CRCs stays useful. */
export function maskedCrc32c(bytes: Uint8Array): number {
  const c = crc32c(bytes)
  return (((c >>> 15) | (c << 17)) + 0xa282ead8) >>> 0
}

export function tfRecord(data: Uint8Array): Buffer {
  const out = Buffer.alloc(12 + data.length + 4)
  out.writeBigUInt64LE(BigInt(data.length), 0)
  out.writeUInt32LE(maskedCrc32c(out.subarray(0, 8)), 8)
  out.set(data, 12)
  out.writeUInt32LE(maskedCrc32c(data), 12 + data.length)
  return out
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let v = BigInt(value)
  do {
    const low = Number(v & 0x7fn)
    v >>= 7n
    bytes.push(v > 0n ? low | 0x80 : low)
  } while (v > 0n)
  return Buffer.from(bytes)
}

// Field numbers of tensorflow/core/util/event.proto and framework/summary.proto.
const key = (field: number, wire: 0 | 1 | 2 | 5): Buffer => varint(field * 8 + wire)
const int = (field: number, value: number): Buffer => Buffer.concat([key(field, 0), varint(value)])
const bytes = (field: number, value: Buffer): Buffer =>
  Buffer.concat([key(field, 2), varint(value.length), value])
const text = (field: number, value: string): Buffer => bytes(field, Buffer.from(value))
function double(field: number, value: number): Buffer {
  const b = Buffer.alloc(8)
  b.writeDoubleLE(value)
  return Buffer.concat([key(field, 1), b])
}
function float(field: number, value: number): Buffer {
  const b = Buffer.alloc(4)
  b.writeFloatLE(value)
  return Buffer.concat([key(field, 5), b])
}

/** An Event with a Summary of scalars: wall_time 1, step 2, summary 5; Summary.value 1 with tag 1, simple_value 2. */
export function scalarEvent(
  wallTime: number,
  step: number,
  scalars: Readonly<Record<string, number>>,
): Buffer {
  const values = Object.entries(scalars).map(([tag, value]) =>
    bytes(1, Buffer.concat([text(1, tag), float(2, value)])),
  )
  return Buffer.concat([double(1, wallTime), int(2, step), bytes(5, Buffer.concat(values))])
}

/** Writes scalars for TensorBoard, `<stage>/<name>`, into an events file of its own in `folder`. */
export class TensorBoardLogger implements Logger {
  readonly path: string
  readonly #fd: number

  constructor(folder: string) {
    mkdirSync(folder, { recursive: true })
    const seconds = Date.now() / 1000
    const stamp = Math.floor(seconds).toString().padStart(10, '0')
    this.path = join(
      folder,
      `events.out.tfevents.${stamp}.${hostname()}.${process.pid}.${process.hrtime()[1]}`,
    )
    this.#fd = openSync(this.path, 'wx')
    this.#write(Buffer.concat([double(1, seconds), text(3, 'brain.Event:2')]))
  }

  log(record: LogRecord): void {
    const scalars = Object.entries(record).flatMap(([name, v]) =>
      typeof v === 'number' && name !== 'step' ? [[`${record.stage}/${name}`, v] as const] : [],
    )
    if (scalars.length > 0)
      this.#write(scalarEvent(Date.now() / 1000, record.step, Object.fromEntries(scalars)))
  }

  #write(event: Buffer): void {
    writeSync(this.#fd, tfRecord(event))
  }

  close(): void {
    closeSync(this.#fd)
  }
}
