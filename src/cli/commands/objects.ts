import { statSync } from 'node:fs'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { BytesValue } from '@bufbuild/protobuf/wkt'
import type { ByteStream } from '../../base/bytes.ts'
import { InvalidArgumentError } from '../../base/errors.ts'
import { type Client, createClient } from '../../client/client.ts'
import { isUnimplemented } from '../../client/rpc-error.ts'
import type { CompactResponse } from '../../gen/pachyderm_pb.ts'
import {
  ListTagsResponseSchema,
  ObjectAPI,
  type ObjectInfo,
  ObjectInfoSchema,
  ObjectSchema,
  type PutObjectRequestSchema,
} from '../../gen/pfs_pb.ts'
import type { CommandContext } from '../command.ts'
import { countText } from '../../base/counts.ts'
import { rawText } from '../printing/json.ts'
import { sizeText } from '../../base/sizes.ts'
import { Table } from '../printing/table.ts'
import { adminClient } from '../own-clients.ts'
import { readSlices } from '../uploading/local-files.ts'

/** Rows that are printed at once. */
const pageRows = 1000
/** Names in one request, of which a server takes ten times as many. */
const requestNamesMax = 1000

function client({ transport }: CommandContext): Client<typeof ObjectAPI> {
  return createClient(ObjectAPI, transport)
}

export async function putObject(context: CommandContext): Promise<void> {
  const { args, flags, input, out } = context
  const [source = '-'] = args
  if (source !== '-' && statSync(source).isDirectory()) {
    throw new InvalidArgumentError(
      `${source} is a directory, and an object is one file: put it into a repo, with put-file -r`,
    )
  }
  const bytes = source === '-' ? input.bytes() : readSlices(source)
  const { hash } = await client(context).putObject(putRequests(bytes, flags.list('tag')))
  await out.line(hash)
}

/** The tags, then the bytes. */
async function* putRequests(
  bytes: ByteStream,
  tags: readonly string[],
): AsyncGenerator<MessageInitShape<typeof PutObjectRequestSchema>> {
  yield { tags: tags.map((name) => ({ name })) }
  for await (const value of bytes) yield { value }
}

export async function getObject(context: CommandContext): Promise<void> {
  const [hash = ''] = context.args
  await print(client(context).getObject({ hash }), context)
}

export async function getTag(context: CommandContext): Promise<void> {
  const [name = ''] = context.args
  await print(client(context).getTag({ name }), context)
}

async function print(pieces: AsyncIterable<BytesValue>, { out }: CommandContext): Promise<void> {
  for await (const { value } of pieces) await out.write(value)
}

export async function inspectObject(context: CommandContext): Promise<void> {
  const [hash = ''] = context.args
  await printInfo(await client(context).inspectObject({ hash }), context)
}

export async function inspectTag(context: CommandContext): Promise<void> {
  const [name = ''] = context.args
  await printInfo(await client(context).inspectTag({ name }), context)
}

async function printInfo(info: ObjectInfo, { flags, out }: CommandContext): Promise<void> {
  const { lower = 0n, upper = 0n } = info.blockRef?.range ?? {}
  await out.write(
    flags.isOn('raw')
      ? rawText(ObjectInfoSchema, info)
      : `Object: ${info.object?.hash ?? ''}\nSize: ${sizeText(upper - lower)}\n`,
  )
}

/** Prints pages of rows as they come. */
export async function listObject(context: CommandContext): Promise<void> {
  const { flags, out } = context
  const table = new Table(out)
  if (!flags.isOn('raw')) table.add('OBJECT')
  let count = 0
  for await (const object of client(context).listObjects({})) {
    if (flags.isOn('raw')) await out.write(rawText(ObjectSchema, object))
    else table.add(object.hash)
    count += 1
    if (count % pageRows === 0) await table.flush()
  }
  await table.flush()
}

export async function listTag(context: CommandContext): Promise<void> {
  const { args, flags, out } = context
  const [prefix = ''] = args
  const table = new Table(out)
  if (!flags.isOn('raw')) table.add('TAG', 'OBJECT')
  let count = 0
  for await (const entry of client(context).listTags({ prefix, includeObject: true })) {
    // Before each comes one that has only the tag.
    if (entry.object === undefined) continue
    if (flags.isOn('raw')) await out.write(rawText(ListTagsResponseSchema, entry))
    else table.add(entry.tag, entry.object.hash)
    count += 1
    if (count % pageRows === 0) await table.flush()
  }
  await table.flush()
}

export async function deleteObject(context: CommandContext): Promise<void> {
  for (const hashes of partsOf(context.args)) {
    await client(context).deleteObjects({ objects: hashes.map((hash) => ({ hash })) })
  }
}

export async function tagObject(context: CommandContext): Promise<void> {
  const [hash = '', ...names] = context.args
  for (const tags of partsOf(names)) {
    await client(context).tagObject({ object: { hash }, tags: tags.map((name) => ({ name })) })
  }
}

export async function deleteTag(context: CommandContext): Promise<void> {
  for (const tags of partsOf(context.args)) await client(context).deleteTags({ tags: [...tags] })
}

export async function compact(context: CommandContext): Promise<void> {
  const joined = await adminClient(context)
    .compact({})
    .catch(async (error: unknown) => {
      if (!isUnimplemented(error)) throw error
      // A server of 1.5 says nothing of what it did.
      await client(context).compact({})
    })
  if (joined !== undefined) await context.out.line(joinedText(joined))
}

function joinedText(joined: CompactResponse): string {
  const { packsJoined, bytesJoined, packsWritten, bytesWritten, packs } = joined
  if (packsJoined === 0n) return `nothing to join: ${countText(packs, 'pack')}`
  const before = `${countText(packsJoined, 'pack')} of ${sizeText(bytesJoined)}`
  return `joined ${before} into ${packsWritten} of ${sizeText(bytesWritten)}; ${countText(packs, 'pack')} now`
}

function* partsOf(names: readonly string[]): Generator<readonly string[]> {
  for (let from = 0; from < names.length; from += requestNamesMax) {
    yield names.slice(from, from + requestNamesMax)
  }
}
