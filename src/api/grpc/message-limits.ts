import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf'
import { InvalidArgumentError } from '../../base/errors.ts'
import { wireType } from '../../base/wire-reader.ts'
import { type ScannedField, type ScannedMessage, scanMessage } from '../../base/wire-scan.ts'

/** How often a field that may be repeated may be there, in all of a request. */
export interface FieldLimit {
  readonly field: DescField
  readonly countMax: number
  /** What to do instead, as an imperative. */
  readonly advice: string
}

/** How many fields a request may have in all, and how many bytes, where that is another number than that of most. */
export interface MessageLimit {
  readonly message: DescMessage
  readonly fieldsMax?: number
  readonly bytesMax?: number
}

/** What requests may hold. */
export interface RequestLimits {
  readonly fields: readonly FieldLimit[]
  readonly messages: readonly MessageLimit[]
}

/** A request with more of something than it may have. */
export class TooManyValuesError extends InvalidArgumentError {
  override readonly name = 'TooManyValuesError'
}

/** Fields of one request, at every depth, unless something else is said: some 20 ms to decode. */
export const fieldsMaxDefault = 100_000
/** Where counting ends: what is more is not told from this. */
const countedMax = 500_000

/** Refuses a request, before it is decoded, that holds more than it may. */
export type Check = (bytes: Uint8Array) => void

/**
 * A check for each type of request.
 *
 * Every repeated field and map that it can hold needs a limit.
 */
export class MessageLimits {
  readonly #fields: ReadonlyMap<DescField, FieldLimit>
  readonly #messages: ReadonlyMap<DescMessage, MessageLimit>

  constructor({ fields, messages }: RequestLimits) {
    this.#fields = new Map(fields.map((limit) => [limit.field, limit]))
    this.#messages = new Map(messages.map((limit) => [limit.message, limit]))
  }

  /**
   * The check throws `TooManyValuesError`, and `WireFormatError` for what is no such message.
   *
   * @throws {TypeError} when a field has no limit.
   */
  checkOf(request: DescMessage): Check {
    const compiler = new Compiler(this.#fields)
    const message = compiler.message(request)
    const { limits } = compiler
    const options = { counterCount: limits.length, fieldsMax: countedMax }
    const { fieldsMax = fieldsMaxDefault, bytesMax = Infinity } = this.#messages.get(request) ?? {}
    return (bytes) => {
      if (bytes.length > bytesMax) {
        throw new TooManyValuesError(
          `the ${request.typeName} has ${bytes.length} bytes, and at most ${bytesMax} are allowed: make several requests of it`,
        )
      }
      const { counts, fieldCount, isWhole } = scanMessage(bytes, message, options)
      const sign = isWhole ? '' : 'at least '
      for (const [index, limit] of limits.entries()) {
        const count = counts[index] ?? 0
        if (count > limit.countMax) throw tooManyValues(limit, `${sign}${count}`)
      }
      if (fieldCount <= fieldsMax) return
      throw new TooManyValuesError(
        `the ${request.typeName} has ${isWhole ? '' : 'more than '}${Math.min(fieldCount, countedMax)} fields, counted at every depth, and at most ${fieldsMax} are allowed: make several requests of it`,
      )
    }
  }
}

function tooManyValues({ field, countMax, advice }: FieldLimit, count: string): Error {
  return new TooManyValuesError(
    `${field.parent.typeName}.${field.name} is there ${count} times, and at most ${countMax} are allowed in one request: ${advice}`,
  )
}

const fixed32Types: ReadonlySet<ScalarType> = new Set([
  ScalarType.FIXED32,
  ScalarType.SFIXED32,
  ScalarType.FLOAT,
])
const fixed64Types: ReadonlySet<ScalarType> = new Set([
  ScalarType.FIXED64,
  ScalarType.SFIXED64,
  ScalarType.DOUBLE,
])

function scalarWireType(type: ScalarType): number {
  if (type === ScalarType.STRING || type === ScalarType.BYTES) return wireType.bytes
  if (fixed32Types.has(type)) return wireType.fixed32
  return fixed64Types.has(type) ? wireType.fixed64 : wireType.varint
}

/** Turns descriptors into what a scan goes by. */
class Compiler {
  readonly #limits: ReadonlyMap<DescField, FieldLimit>
  readonly #messages = new Map<DescMessage, ScannedMessage>()
  /** By counter. */
  readonly limits: FieldLimit[] = []

  constructor(limits: ReadonlyMap<DescField, FieldLimit>) {
    this.#limits = limits
  }

  message(desc: DescMessage): ScannedMessage {
    const known = this.#messages.get(desc)
    if (known !== undefined) return known
    const fields: (ScannedField | undefined)[] = []
    const message = { fields }
    // Before its fields: a message may hold others of its kind.
    this.#messages.set(desc, message)
    const last = Math.max(0, ...desc.fields.map(({ number }) => number))
    for (let number = 0; number <= last; number += 1) fields.push(undefined)
    for (const field of desc.fields) fields[field.number] = this.#field(field)
    return message
  }

  #field(field: DescField): ScannedField {
    switch (field.fieldKind) {
      case 'scalar':
        return { wireType: scalarWireType(field.scalar) }
      case 'enum':
        return { wireType: wireType.varint }
      case 'message':
        return { wireType: wireType.bytes, message: this.message(field.message) }
      case 'list':
        return { ...this.#list(field), counter: this.#counter(field) }
      case 'map':
        return {
          wireType: wireType.bytes,
          counter: this.#counter(field),
          message: this.#entry(field),
        }
    }
  }

  #list(field: DescField & { readonly fieldKind: 'list' }): ScannedField {
    if (field.listKind === 'message') {
      return { wireType: wireType.bytes, message: this.message(field.message) }
    }
    const type = field.listKind === 'enum' ? wireType.varint : scalarWireType(field.scalar)
    return { wireType: type, packed: type === wireType.bytes ? undefined : type }
  }

  #entry(field: DescField & { readonly fieldKind: 'map' }): ScannedMessage {
    const key = { wireType: scalarWireType(field.mapKey) }
    switch (field.mapKind) {
      case 'scalar':
        return { fields: [undefined, key, { wireType: scalarWireType(field.scalar) }] }
      case 'enum':
        return { fields: [undefined, key, { wireType: wireType.varint }] }
      case 'message': {
        const value = { wireType: wireType.bytes, message: this.message(field.message) }
        return { fields: [undefined, key, value] }
      }
    }
  }

  #counter(field: DescField): number {
    const limit = this.#limits.get(field)
    if (limit === undefined) {
      throw new TypeError(`${field.parent.typeName}.${field.name} needs a limit of its number`)
    }
    return this.limits.push(limit) - 1
  }
}
