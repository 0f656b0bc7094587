import type { DescField, DescMessage, MessageShape } from '@bufbuild/protobuf'
import { reflect, type ReflectMessage } from '@bufbuild/protobuf/reflect'
import { utf8 } from '../base/bytes.ts'

/** A message in protobuf's text form, compact, as 1.4 stored its records. */
export function oldText<Schema extends DescMessage>(
  schema: Schema,
  message: MessageShape<Schema>,
): Uint8Array {
  return Buffer.from(fieldsText(reflect(schema, message)), 'latin1')
}

function fieldsText(message: ReflectMessage): string {
  return message.fields
    .filter((field) => message.isSet(field))
    .map((field) => fieldText(message, field))
    .join('')
}

function fieldText(message: ReflectMessage, field: DescField): string {
  const { name } = field
  switch (field.fieldKind) {
    case 'list':
      return [...message.get(field)]
        .map((item) =>
          field.listKind === 'message'
            ? `${name}:<${fieldsText(item as ReflectMessage)}> `
            : `${name}:${valueText(item)} `,
        )
        .join('')
    case 'map':
      return [...message.get(field)]
        .map(([key, value]) => `${name}:<key:${valueText(key)} value:${valueText(value)} > `)
        .join('')
    case 'message':
      return `${name}:<${fieldsText(message.get(field))}> `
    case 'enum': {
      const number = message.get(field)
      return `${name}:${field.enum.values.find((value) => value.number === number)?.name} `
    }
    case 'scalar':
      return `${name}:${valueText(message.get(field))} `
  }
}

/** Texts have octal escapes, byte by byte. */
function valueText(value: unknown): string {
  if (typeof value !== 'string') return String(value)
  let text = ''
  for (const byte of utf8(value)) {
    const character = String.fromCharCode(byte)
    if (character === '"' || character === '\\') text += `\\${character}`
    else if (character === '\n') text += String.raw`\n`
    else if (byte < 0x20 || byte >= 0x7f) text += `\\${byte.toString(8).padStart(3, '0')}`
    else text += character
  }
  return `"${text}"`
}
