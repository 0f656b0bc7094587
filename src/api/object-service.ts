import { decodePutObjectRequest, putObjectTagsMax } from '../base/content-messages.ts'
import { InvalidArgumentError } from '../base/errors.ts'
import type { IncomingMessage } from '../base/grpc-messages.ts'
import { ObjectAPI, type Object$, type Tag } from '../gen/pfs_pb.ts'
import type { Collector } from '../storage/collector.ts'
import type { Objects } from '../versioning/objects.ts'
import { service, type Route, type ServiceHandlers } from './grpc/service.ts'
import { bytePieces } from './pfs/byte-pieces.ts'
import { requireCount, requireText } from './pfs/names.ts'

/** pfs.ObjectAPI: contents by the name of their content, below all repos. */
export function objectRoutes(objects: Objects, collector: Collector): readonly Route[] {
  return service(ObjectAPI, {
    ...contentHandlers(objects),
    ...nameHandlers(objects),

    /** Joins what lies about in small packs. */
    async compact(_request, { signal }) {
      await collector.compact(signal)
      return {}
    },
  })
}

function contentHandlers(objects: Objects): ServiceHandlers<typeof ObjectAPI> {
  return {
    putObject: {
      async sliced(requests) {
        const tags: string[] = []
        return { hash: await objects.put(valuesOf(requests, tags), () => tags) }
      },
    },
    getObject: {
      encoded: (object) => bytePieces(objects.read([requireHash(object)])),
    },
    getObjects: {
      encoded: ({ objects: wanted, offsetBytes, sizeBytes }) =>
        bytePieces(
          objects.read(wanted.map(requireHash), {
            offset: requireCount(offsetBytes, 'offset_bytes'),
            length: requireCount(sizeBytes, 'size_bytes'),
          }),
        ),
    },
    getTag: {
      async *encoded(tag) {
        yield* bytePieces(objects.read([await objects.resolveTag(requireTag(tag))]))
      },
    },
    inspectObject: async (object) => inspect(objects, requireHash(object)),
    inspectTag: async (tag) => inspect(objects, await objects.resolveTag(requireTag(tag))),
    checkObject: async ({ object }) => ({ exists: await objects.exists(requireHash(object)) }),
  }
}

function nameHandlers(objects: Objects): ServiceHandlers<typeof ObjectAPI> {
  return {
    async tagObject({ object, tags }) {
      await objects.tag(requireHash(object), tags.map(requireTag))
      return {}
    },
    async *listObjects() {
      for await (const hash of objects.list()) yield { hash }
    },
    async *listTags({ prefix, includeObject }) {
      for await (const { name, hash } of objects.listTags(prefix)) {
        yield { tag: name }
        if (includeObject) yield { tag: name, object: { hash } }
      }
    },
    async deleteObjects({ objects: doomed }) {
      await objects.delete(doomed.map(requireHash))
      return {}
    },
    async deleteTags({ tags }) {
      await objects.deleteTags(tags)
      return {}
    },
  }
}

/** An object's only block is named like it and holds nothing else. */
async function inspect(
  objects: Objects,
  hash: string,
): Promise<{
  object: { hash: string }
  blockRef: { block: { hash: string }; range: { lower: bigint; upper: bigint } }
}> {
  const upper = BigInt(await objects.sizeBytes(hash))
  return { object: { hash }, blockRef: { block: { hash }, range: { lower: 0n, upper } } }
}

/** The joined values of all messages; their tags are added to `tags` as they come. */
async function* valuesOf(
  requests: AsyncIterable<IncomingMessage>,
  tags: string[],
): AsyncGenerator<Uint8Array> {
  for await (const message of requests) {
    const { value, tags: names } = decodePutObjectRequest(await message.parts())
    if (tags.length + names.length > putObjectTagsMax) {
      throw new InvalidArgumentError(
        `an object can be given at most ${putObjectTagsMax} tags at once: give it the others with TagObject`,
      )
    }
    for (const name of names) tags.push(name)
    yield* value
  }
}

function requireHash(object: Object$ | undefined): string {
  return requireText(object?.hash, 'object.hash', 'an object hash is needed')
}

function requireTag(tag: Tag): string {
  return requireText(tag.name, 'tag.name', 'a tag is needed')
}
