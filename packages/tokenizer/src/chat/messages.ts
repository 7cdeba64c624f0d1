// What a conversation is made of.

/** A piece of a message: `{ type: 'text', text }` or `{ type: 'image' }`, further fields as the template wants. */
export interface ContentPart {
  readonly type: string
  readonly text?: string
  readonly [field: string]: unknown
}

/** One turn; further fields (tool_calls, name, reasoning_content ...) as the template wants. */
export interface ChatMessage {
  readonly role: string
  /** Text, or parts of it and images; a message that only calls tools may have none. */
  readonly content?: string | readonly ContentPart[] | null
  readonly [field: string]: unknown
}
