import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { interruptSignal } from '../src/index.js'

const listeners = (): number => process.listenerCount('SIGINT') + process.listenerCount('SIGTERM')

test('the first signal aborts and tells why, and release gives Ctrl-C its meaning back', () => {
  const before = listeners()
  let told = 0
  const signal = interruptSignal(() => told++)
  assert.is(signal.aborted, false)
  process.emit('SIGINT', 'SIGINT')
  assert.is(signal.aborted, true)
  assert.is(signal.reason, 'SIGINT')
  assert.is(told, 1)
  signal.release()
  assert.is(listeners(), before)
})

for (const [name, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`a second ${name} ends the process with ${code}`, () => {
    const { exit } = process
    const codes: unknown[] = []
    process.exit = ((c?: unknown) => void codes.push(c)) as typeof process.exit
    const signal = interruptSignal()
    try {
      process.emit(name, name)
      assert.equal(codes, [])
      process.emit(name, name)
      assert.equal(codes, [code])
    } finally {
      process.exit = exit
      signal.release()
    }
  })
}

test.run()
