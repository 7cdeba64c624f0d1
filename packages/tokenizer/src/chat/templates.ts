// A tokenizer's chat templates by name. Most have one; some have another for tools or for retrieval.

import { FileFormatError, TemplateError, TokenizerError, brief } from '../errors.js'
import { DEFAULT_CHAT_TEMPLATE } from './default.js'
import { ChatTemplate } from './template.js'

/** The name of the template that is taken where none is named. */
const DEFAULT = 'default'
/** The name of the one that is taken where there are tools, if there is one. */
const WITH_TOOLS = 'tool_use'

const MAX_TEMPLATES = 64

/** What may be a file's name; others stay in tokenizer_config.json. */
const NAME = /^\w[\w. -]{0,100}$/
export const TEMPLATE_FOLDER = 'additional_chat_templates/'
const SUFFIX = '.jinja'

/** The file that has the template of that name. */
function templateFile(name: string): string {
  return name === DEFAULT ? 'chat_template.jinja' : `${TEMPLATE_FOLDER}${name}${SUFFIX}`
}

/** The name of the template that a file has, or undefined where it has none. */
export function templateName(file: string): string | undefined {
  if (file === templateFile(DEFAULT)) return DEFAULT
  if (!file.startsWith(TEMPLATE_FOLDER) || !file.endsWith(SUFFIX)) return undefined
  return file.slice(TEMPLATE_FOLDER.length, -SUFFIX.length)
}

export class ChatTemplates {
  private constructor(
    private readonly byName: ReadonlyMap<string, ChatTemplate>,
    /** Names of those that have files of their own. */
    private readonly own: ReadonlySet<string> = new Set(),
  ) {}

  static none(): ChatTemplates {
    return new ChatTemplates(new Map())
  }

  /** One template's source. */
  static of(source: string): ChatTemplates {
    return new ChatTemplates(new Map([[DEFAULT, compile(source)]]))
  }

  /**
   * From `chat_template` of tokenizer_config.json (a template, or a list of { name, template }) and the templates
   * that have files of their own, by name, which go before those in the config, as in transformers.
   */
  static parse(
    value: unknown,
    file: string,
    own: Readonly<Record<string, string>> = {},
  ): ChatTemplates {
    const found = new Map<string, ChatTemplate>()
    for (const [name, source] of [...fromConfig(value, file), ...Object.entries(own)]) {
      try {
        found.set(name, compile(source))
      } catch (error) {
        if (!(error instanceof TemplateError)) throw error
        throw new FileFormatError(file, 'chat_template', `${brief(name)}: ${error.message}`, {
          cause: error,
        })
      }
    }
    return new ChatTemplates(found, new Set(Object.keys(own).filter((name) => NAME.test(name))))
  }

  get names(): readonly string[] {
    return [...this.byName.keys()]
  }

  get default(): ChatTemplate | null {
    return this.byName.get(DEFAULT) ?? null
  }

  /** The one of that name; without a name, that for tools or the default one. */
  choose(name: string | undefined, tools: boolean): ChatTemplate {
    const usual = tools && this.byName.has(WITH_TOOLS) ? WITH_TOOLS : DEFAULT
    const template = this.byName.get(name ?? usual)
    if (template !== undefined) return template
    const has =
      this.byName.size === 0
        ? 'the tokenizer has no chat template'
        : `the tokenizer has no chat template ${brief(name ?? usual)}; it has ${this.names.map(brief).join(', ')}`
    throw new TokenizerError('applyChatTemplate', `${has}.`)
  }

  /** As tokenizer_config.json holds it: those without files of their own. */
  toJSON(): unknown {
    const here = [...this.byName].filter(([name]) => !this.own.has(name))
    if (here.length === 0) return null
    if (here.length === 1 && here[0]![0] === DEFAULT) return here[0]![1].source
    return here.map(([name, { source }]) => ({ name, template: source }))
  }

  /** Those with files of their own, by the file's name. */
  files(): Record<string, string> {
    const own = [...this.byName].filter(([name]) => this.own.has(name))
    return Object.fromEntries(own.map(([name, { source }]) => [templateFile(name), source]))
  }
}

/** Our own template is bounded by its messages, and the time limit's watchdog would double what it costs. */
function compile(source: string): ChatTemplate {
  const ours = source === DEFAULT_CHAT_TEMPLATE
  return new ChatTemplate(source, ours ? { milliseconds: Number.POSITIVE_INFINITY } : {})
}

function fromConfig(value: unknown, file: string): [string, string][] {
  if (value === undefined || value === null) return []
  if (typeof value === 'string') return [[DEFAULT, value]]
  if (!Array.isArray(value)) {
    throw new FileFormatError(file, 'chat_template', `is ${brief(value)}. A template is expected.`)
  }
  if (value.length > MAX_TEMPLATES) {
    throw new FileFormatError(
      file,
      'chat_template',
      `has ${value.length} templates. At most ${MAX_TEMPLATES} are read.`,
    )
  }
  return value.map((entry: unknown, i) => {
    const { name, template } = (entry ?? {}) as Record<string, unknown>
    if (typeof name === 'string' && typeof template === 'string') return [name, template]
    throw new FileFormatError(
      file,
      'chat_template',
      `[${i}] is ${brief(entry)}. { name, template } is expected.`,
    )
  })
}
