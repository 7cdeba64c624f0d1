// The functions that a template may call.

import { TemplateError } from '../errors.js'
import { MAX_ITEMS } from './limits.js'

export function globals(): Record<string, unknown> {
  return {
    true: true,
    false: false,
    none: null,
    True: true,
    False: false,
    None: null,
    raise_exception: (message: unknown) => {
      throw new TemplateError(
        'chatTemplate',
        `the template refused: ${String(message).slice(0, 500)}`,
      )
    },
    range,
    strftime_now: (format: unknown) => strftime(String(format).slice(0, 256), new Date()),
  }
}

function range(first: unknown, stop?: unknown, step: unknown = 1): number[] {
  const [from, to] = stop === undefined ? [0, first] : [first, stop]
  if (![from, to, step].every((n) => Number.isSafeInteger(n))) {
    throw new TemplateError('chatTemplate', 'range() takes integers.')
  }
  const count = Math.ceil((Number(to) - Number(from)) / Number(step))
  if (step === 0 || count > MAX_ITEMS) {
    throw new TemplateError(
      'chatTemplate',
      `range() of ${count} items; at most ${MAX_ITEMS} are made.`,
    )
  }
  return Array.from({ length: Math.max(0, count) }, (_, i) => Number(from) + i * Number(step))
}

const MONTHS = [
  ...['January', 'February', 'March', 'April', 'May', 'June', 'July'],
  ...['August', 'September', 'October', 'November', 'December'],
]

/** Python's strftime, the letters that chat templates use. */
function strftime(format: string, date: Date): string {
  const two = (n: number): string => String(n).padStart(2, '0')
  const month = MONTHS[date.getMonth()]!
  const parts: Record<string, string> = {
    Y: String(date.getFullYear()),
    m: two(date.getMonth() + 1),
    d: two(date.getDate()),
    H: two(date.getHours()),
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    B: month,
    b: month.slice(0, 3),
    '%': '%',
  }
  return format.replace(/%([YmdHMSBb%])/g, (_, letter: string) => parts[letter]!)
}
