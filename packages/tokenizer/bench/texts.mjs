// Texts that any machine with this repository has: READMEs (English), the TypeScript compiler (code), and the Hindi
// names of places, languages, units and dates that come with Node's ICU.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const modules = fileURLToPath(new URL('../../../node_modules/', import.meta.url))
const BYTES = 5_000_000

export const texts = {
  english: () => cut(english()),
  code: () => cut(readFileSync(join(modules, 'typescript/lib/_tsc.js'), 'utf8')),
  hindi: () => cut(localised('hi')),
}

function cut(text) {
  const bytes = Buffer.from(text)
  return bytes.length <= BYTES ? text : bytes.toString('utf8', 0, BYTES).replace(/\ufffd$/, '')
}

function english() {
  let text = ''
  const visit = (folder, depth) => {
    for (const entry of readdirSync(folder, { withFileTypes: true }).sort(byName)) {
      if (text.length > BYTES) return
      const path = join(folder, entry.name)
      if (entry.isDirectory() && depth < 4) visit(path, depth + 1)
      else if (/\.(md|txt)$/i.test(entry.name)) text += readFileSync(path, 'utf8') + '\n'
    }
  }
  visit(modules, 0)
  return text
}

const byName = (a, b) => (a.name < b.name ? -1 : 1)

/** Sentences of what ICU can say in a language; every number, date and pair of names is another one. */
export function localised(locale, bytes = BYTES) {
  const names = (type, codes) => {
    const display = new Intl.DisplayNames([locale], { type, fallback: 'none' })
    return codes.map((code) => display.of(code)).filter((name) => name !== undefined)
  }
  const letters = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ']
  const pairs = letters.flatMap((a) => letters.map((b) => a + b))
  const places = names('region', pairs)
  const languages = names(
    'language',
    pairs.map((pair) => pair.toLowerCase()),
  )
  const currencies = names('currency', Intl.supportedValuesOf('currency'))
  const units = Intl.supportedValuesOf('unit').map(
    (unit) => new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'long' }),
  )
  const list = new Intl.ListFormat(locale)
  const date = new Intl.DateTimeFormat(locale, { dateStyle: 'full', timeStyle: 'medium' })
  const relative = new Intl.RelativeTimeFormat(locale)
  const spans = ['year', 'month', 'week', 'day', 'hour', 'minute', 'second']
  let text = ''
  let length = 0
  for (let n = 0; length < bytes; n++) {
    const pick = (array, step) => array[(n * step) % array.length]
    const line =
      list.format([pick(places, 7), pick(languages, 11), pick(currencies, 13)]) +
      `: ${date.format(n * 98_765_432_1)}, ${relative.format((n % 41) - 20, pick(spans, 3))}, ` +
      `${pick(units, 5).format(n % 1009)}. ${pick(places, 17)} (${pick(languages, 19)})\n`
    text += line
    length += Buffer.byteLength(line)
  }
  return text
}
