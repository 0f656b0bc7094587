import { parsePipelineName } from '../../base/names.ts'
import type { BuildImageRequest, BuildImageResponseSchema } from '../../gen/pachyderm_pb.ts'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { ImageBuilds } from '../../pipelines/image-builds.ts'

const linesMax = 200

/** Builds an image of the folder that a caller streams. */
export async function buildImage(
  images: ImageBuilds,
  requests: AsyncIterable<BuildImageRequest>,
  signal: AbortSignal,
): Promise<MessageInitShape<typeof BuildImageResponseSchema>> {
  const messages = requests[Symbol.asyncIterator]()
  const first = await messages.next()
  const pipeline = parsePipelineName(first.done === true ? '' : (first.value.pipeline?.name ?? ''))
  async function* archive(): AsyncGenerator<Uint8Array> {
    for (let next = first; next.done !== true; next = await messages.next()) {
      if (next.value.archive.length > 0) yield next.value.archive
    }
  }
  const lines: string[] = []
  const onLine = (line: string): void => {
    lines.push(line)
    if (lines.length > linesMax) lines.shift()
  }
  const image = await images.buildImage({ pipeline, archive: archive(), onLine }, signal)
  return { image, lines }
}
