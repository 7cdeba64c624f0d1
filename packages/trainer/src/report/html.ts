// HTML that cannot be broken out of: a template whose values are escaped, unless they were made by it.

/** Made by `html`. */
export class Html {
  /** @internal use `html` */
  constructor(readonly source: string) {}

  toString(): string {
    return this.source
  }
}

export type HtmlValue = Html | string | number | undefined | readonly HtmlValue[]

/** For text between tags and in quoted attributes. */
export function escapeHtml(text: string): string {
  return text.replace(
    /[&<>"'`]/g,
    (c) =>
      ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;', '`': '&#96;' })[c]!,
  )
}

function source(value: HtmlValue): string {
  if (value === undefined) return ''
  if (value instanceof Html) return value.source
  if (typeof value === 'object') return value.map(source).join('')
  return escapeHtml(String(value))
}

/**
 * Puts values into HTML. Text is escaped, lists are joined, `undefined` is nothing, and what `html` made stays as it is.
 * Values may stand between tags and in quoted attributes, not in names of tags.
 */
export function html(strings: TemplateStringsArray, ...values: HtmlValue[]): Html {
  return new Html(strings.reduce((out, s, i) => out + source(values[i - 1]) + s))
}
