import type { DescField, DescMessage, MessageShape } from '@bufbuild/protobuf'
import { create, ScalarType } from '@bufbuild/protobuf'
import * as fc from 'fast-check'

const depthMax = 4

/** Texts that are names of things here, look like them, or have made other servers stumble. */
const texts: readonly string[] = [
  '',
  'r',
  'master',
  'open',
  '0'.repeat(32),
  '/',
  '/a',
  'd/b',
  '../..',
  '*',
  '[',
  'a\0b',
  '\n',
  '%s%n',
  '{"a":',
  "'; DROP TABLE repos; --",
  'ü'.repeat(600),
  'x'.repeat(5000),
  '__proto__',
]
/** What a field of a name mostly says, so that calls come further than to `not found`. */
const sensible: Readonly<Record<string, readonly string[]>> = {
  name: ['r', 'r', 'fresh'],
  id: ['master', 'open', 'master~1', ''],
  branch: ['master', 'open', 'new', ''],
  path: ['', '/', '/a', 'd', 'd/b', 'a/below', 'new'],
  pattern: ['*', '/*', '/d/?', ''],
}
const integers: readonly bigint[] = [0n, 1n, -1n, 2n ** 31n - 1n, 2n ** 53n, 2n ** 63n - 1n]

/** Messages of a type that are well-formed and otherwise as wrong as can be. */
export function hostileMessage<D extends DescMessage>(desc: D): fc.Arbitrary<MessageShape<D>> {
  return fields(desc, 0).map((init) => create(desc, init as never))
}

function fields(desc: DescMessage, depth: number): fc.Arbitrary<Record<string, unknown>> {
  const model: Record<string, fc.Arbitrary<unknown>> = {}
  for (const field of desc.fields) {
    const value = valueOf(field, depth)
    if (value !== undefined) model[field.localName] = fc.option(value, { nil: undefined, freq: 8 })
  }
  return fc.record(model).map((init) => {
    const present = Object.entries(init).filter(([, value]) => value !== undefined)
    return Object.fromEntries(present)
  })
}

function valueOf(field: DescField, depth: number): fc.Arbitrary<unknown> | undefined {
  switch (field.fieldKind) {
    case 'scalar':
      return scalar(field.scalar, field.name)
    case 'enum':
      return fc.constantFrom(0, 1, 2, 77)
    case 'message':
      return depth < depthMax ? fields(field.message, depth + 1) : undefined
    case 'list': {
      const item = listItem(field, depth)
      return item === undefined ? undefined : fc.array(item, { maxLength: 3 })
    }
    case 'map':
      return undefined
  }
}

function listItem(
  field: DescField & { readonly fieldKind: 'list' },
  depth: number,
): fc.Arbitrary<unknown> | undefined {
  switch (field.listKind) {
    case 'scalar':
      return scalar(field.scalar, field.name)
    case 'enum':
      return fc.constantFrom(0, 1, 77)
    case 'message':
      return depth < depthMax ? fields(field.message, depth + 1) : undefined
  }
}

function text(name: string): fc.Arbitrary<string> {
  const likely = sensible[name] ?? texts
  return fc.oneof(
    { arbitrary: fc.constantFrom(...likely), weight: 8 },
    { arbitrary: fc.constantFrom(...texts), weight: 1 },
    { arbitrary: fc.string(), weight: 1 },
  )
}

function scalar(type: ScalarType, name: string): fc.Arbitrary<unknown> {
  switch (type) {
    case ScalarType.STRING:
      return text(name)
    case ScalarType.BYTES:
      return fc.uint8Array({ maxLength: 200 })
    case ScalarType.BOOL:
      return fc.boolean()
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return fc.constantFrom(0, -1, 1e9, Number.NaN, Number.POSITIVE_INFINITY)
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return fc.constantFrom(0n, 0n, ...integers)
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return fc.constantFrom(...integers.filter((value) => value >= 0n))
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return fc.constantFrom(0, 1, 2 ** 31)
    default:
      return fc.constantFrom(0, 1, -1, 2 ** 31 - 1)
  }
}
