// What can stand in a picture. Each concept was drawn by all seven artists; `label` is its name in emojibase.

export type Kind = 'animal' | 'food' | 'plant' | 'vehicle' | 'object'
export const kinds: readonly Kind[] = ['animal', 'food', 'plant', 'vehicle', 'object']

export interface Concept {
  /** One plain word. */
  readonly name: string
  readonly kind: Kind
  readonly label: string
}

const list = (kind: Kind, ...names: string[]): Concept[] =>
  names.map((n) => {
    const [name, label] = n.split('=') as [string, string | undefined]
    return { name, kind, label: label ?? name }
  })

/** Seen in training (drawn by six of the seven artists). */
export const concepts: readonly Concept[] = [
  ...list('animal', 'fish', 'penguin', 'turtle', 'elephant'),
  ...list('food', 'apple=red apple', 'banana', 'grapes', 'hamburger'),
  ...list('plant', 'cactus', 'tulip', 'sunflower', 'mushroom'),
  ...list('vehicle', 'bicycle', 'airplane', 'rocket', 'car=automobile'),
  ...list('object', 'guitar', 'umbrella', 'crown', 'bell'),
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
