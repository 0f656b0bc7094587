import { createHash } from 'node:crypto'
import { create, toBinary } from '@bufbuild/protobuf'
import { concatBytes, utf8 } from '../base/bytes.ts'
import { type Transform, TransformSchema } from '../gen/pps_pb.ts'

/** A file or directory of a datum as the old cluster knew it. */
export interface OldMember {
  /** Of the input. */
  readonly name: string
  /** Empty for the root. */
  readonly path: string
  /** The hash of its node in the old tree. */
  readonly hash: Uint8Array
}

/** What stands for a pipeline's code in the tags of its datums. */
export type TagScheme =
  /** 1.5.1 and later. */
  | { readonly kind: 'salt'; readonly pipeline: string; readonly salt: string }
  /** 1.4, and 1.5.0 without environment variables. */
  | {
      readonly kind: 'transform'
      readonly pipeline: string
      readonly id: string
      readonly version: number
      readonly transform: Transform
    }

const prefixDigits = 4
/** Orders of environment variables that are tried for a datum: those of six variables, and a few of more. */
export const orderCountMax = 1000

/** How the tags of all datums of a pipeline begin. */
export function tagPrefix(scheme: TagScheme): string {
  const text = scheme.kind === 'salt' ? scheme.salt : scheme.id
  return createHash('sha256').update(text).digest('hex').slice(0, prefixDigits)
}

/**
 * The tags that the result of a datum may have, the likeliest first. There are several where the
 * environment has more than one variable: old servers wrote them in any order, another one each time.
 * `likely` is the order of one that was found, and comes first.
 */
export function* datumTags(
  scheme: TagScheme,
  members: readonly OldMember[],
  likely?: readonly string[],
): Generator<{ readonly tag: string; readonly order: readonly string[] }> {
  const prefix = tagPrefix(scheme)
  const parts = members.map(({ name, path, hash }) => concatBytes([utf8(name), utf8(path), hash]))
  const memberBytes = concatBytes([new Uint8Array(0), ...parts])
  if (scheme.kind === 'salt') {
    const end = utf8(scheme.pipeline + scheme.salt)
    yield { tag: prefix + hashOf(memberBytes, end), order: [] }
    return
  }
  const { transform, pipeline, id, version } = scheme
  const end = utf8(`${pipeline}${id}${version}`)
  const names = Object.keys(transform.env).toSorted()
  const first = likely ?? names
  yield { tag: prefix + hashOf(memberBytes, encodeTransform(transform, first), end), order: first }
  let count = 1
  for (const order of permutations(names)) {
    if (count >= orderCountMax) return
    if (order.every((name, index) => name === first[index])) continue
    count += 1
    yield { tag: prefix + hashOf(memberBytes, encodeTransform(transform, order), end), order }
  }
}

function hashOf(...parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest('hex')
}

/** As old servers wrote it: fields by number, the environment in `order`. */
function encodeTransform(transform: Transform, order: readonly string[]): Uint8Array {
  const { image, cmd, secrets, stdin, acceptReturnCode, debug, imagePullSecrets } = transform
  const head = toBinary(TransformSchema, create(TransformSchema, { image, cmd }))
  const rest = { secrets, stdin, acceptReturnCode, debug, imagePullSecrets }
  const tail = toBinary(TransformSchema, create(TransformSchema, rest))
  const entries = order.map((name) => {
    const env = { [name]: transform.env[name] ?? '' }
    return toBinary(TransformSchema, create(TransformSchema, { env }))
  })
  return concatBytes([head, ...entries, tail])
}

/** Every order of `names`. */
function* permutations(names: readonly string[]): Generator<readonly string[]> {
  const [only] = names
  if (only === undefined || names.length === 1) {
    yield names
    return
  }
  for (const [index, name] of names.entries()) {
    const others = names.filter((_, place) => place !== index)
    for (const order of permutations(others)) yield [name, ...order]
  }
}
