// What else stands in a model's folder and goes where the model goes.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

// The model card is written anew.
const text =
  /^(tokenizer.*|special_tokens_map|added_tokens|vocab|generation_config)\.json$|^(chat_template\.jinja|merges\.txt|tokenizer\.model)$/

/** The files of the tokenizer and of generation, as [path, name]. */
export async function companionsOf(folder: string): Promise<[string, string][]> {
  const files = await readdir(folder, { withFileTypes: true })
  return files
    .filter((f) => f.isFile() && text.test(f.name))
    .map((f) => [join(folder, f.name), f.name])
}

/** As the model card of a folder states it: what is made of weights is under their licence. */
export async function licenseOf(folder: string): Promise<string | undefined> {
  const card = await readFile(join(folder, 'README.md'), 'utf8').catch(() => '')
  return /^---\n(?:.*\n)*?license: *([\w.-]{1,64})\n(?:.*\n)*?---\n/.exec(
    card.slice(0, 10_000),
  )?.[1]
}
