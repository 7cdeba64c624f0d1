// The chat format of our own models.

/** The special tokens of our models, in the order of their ids. */
export const DEFAULT_SPECIAL_TOKENS: readonly string[] = [
  '<|pad|>',
  '<|begin_of_text|>',
  '<|end_of_text|>',
  '<|user|>',
  '<|assistant|>',
  '<|end_of_turn|>',
  '<|image_start|>',
  '<|image|>',
  '<|image_end|>',
]

/**
 * The chat format of our models: `<|begin_of_text|>`, a system text if there is one, then each turn as its role,
 * its text and `<|end_of_turn|>`. What the assistant wrote, its end of turn among it, is marked for the loss.
 */
export const DEFAULT_CHAT_TEMPLATE = `{%- macro body(content) -%}
  {%- if content is string -%}
    {{- content -}}
  {%- else -%}
    {%- for part in content -%}
      {%- if part.type == 'image' -%}
        {{- '<|image_start|><|image|><|image_end|>' -}}
      {%- elif part.type == 'text' -%}
        {{- part.text -}}
      {%- else -%}
        {{- raise_exception('content of type ' ~ part.type ~ ' is not known; text and image are') -}}
      {%- endif -%}
    {%- endfor -%}
  {%- endif -%}
{%- endmacro -%}
{{- bos_token -}}
{%- for message in messages -%}
  {%- if message.role == 'system' -%}
    {%- if not loop.first -%}
      {{- raise_exception('a system message must be the first') -}}
    {%- endif -%}
    {{- body(message.content) -}}<|end_of_turn|>
  {%- elif message.role == 'user' -%}
    <|user|>{{- body(message.content) -}}<|end_of_turn|>
  {%- elif message.role == 'assistant' -%}
    <|assistant|>
    {%- generation -%}
    {{- body(message.content) -}}<|end_of_turn|>
    {%- endgeneration -%}
  {%- else -%}
    {{- raise_exception('role ' ~ message.role ~ ' is not known; system, user and assistant are') -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  <|assistant|>
{%- endif -%}
`
