// What can stand in a picture. A concept may have several labels, names of emoji in emojibase: each is a drawing of it.

export type Kind = 'animal' | 'food' | 'plant' | 'vehicle' | 'object'
export const kinds: readonly Kind[] = ['animal', 'food', 'plant', 'vehicle', 'object']

export interface Concept {
  /** One plain word. */
  readonly name: string
  readonly kind: Kind
  readonly labels: readonly string[]
}

const list = (kind: Kind, ...names: string[]): Concept[] =>
  names.map((n) => {
    const [name, labels] = n.split('=') as [string, string | undefined]
    return { name, kind, labels: (labels ?? name).split('|') }
  })

/** Seen in training, from all artists but one. */
export const concepts: readonly Concept[] = [
  ...list('animal', 'fish=fish|tropical fish|blowfish', 'penguin', 'turtle', 'elephant'),
  ...list('food', 'apple=red apple|green apple', 'banana', 'grapes', 'hamburger'),
  ...list('plant', 'cactus', 'tulip', 'sunflower', 'mushroom'),
  ...list(
    'vehicle',
    'bicycle',
    'airplane',
    'rocket',
    'car=automobile|oncoming automobile|taxi|oncoming taxi',
  ),
  ...list('object', 'guitar', 'umbrella=umbrella|umbrella with rain drops', 'crown', 'bell'),
]

/** Never drawn in training; asked about by kind alone. */
export const heldOutConcepts: readonly Concept[] = [
  ...list('animal', 'snail', 'dolphin'),
  ...list('food', 'pineapple', 'strawberry'),
  ...list('plant', 'rose', 'seedling'),
  ...list('vehicle', 'helicopter', 'tractor'),
  ...list('object', 'trumpet', 'trophy'),
]

/** "an apple", "a fish", "grapes" */
export function withArticle(name: string): string {
  if (name === 'grapes') return name
  return `${/^[aeiou]/.test(name) ? 'an' : 'a'} ${name}`
}
