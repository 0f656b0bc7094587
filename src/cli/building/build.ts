import { InvalidArgumentError } from '../../base/errors.ts'
import { create } from '@bufbuild/protobuf'
import { type CreatePipelineRequest, TransformSchema } from '../../gen/pps_pb.ts'
import type { CommandContext } from '../command.ts'
import { adminClient, pipelinesClient } from '../own-clients.ts'
import { type BuildFolder, readBuildFolder } from './folder.ts'
import { shipFor } from './source-repo.ts'

/** Well below what a message may hold. */
const pieceBytesMax = 256 * 1024

/**
 * Has the server build an image of the folder, and the spec's pipeline run in it. A server that runs
 * processes gets the code alone.
 */
export async function buildFor(
  context: CommandContext,
  request: CreatePipelineRequest,
  folder: string,
): Promise<void> {
  const { err } = context
  const leftOut: string[] = []
  const found = readBuildFolder(folder, (text) => leftOut.push(text))
  for (const text of leftOut) await err.line(text)
  const name = request.pipeline?.name ?? ''
  if (name === '') {
    throw new InvalidArgumentError(
      'the spec has no name, which its image is called by; set "pipeline.name"',
    )
  }
  if (found.recipe !== undefined) {
    await err.line(`${folder} has no Dockerfile, and is built as ${found.recipe.language}`)
  }
  const { executor } = await adminClient(context).inspectServer({})
  if (executor === 'process' && found.recipe !== undefined) {
    await shipFor(context, request, found, found.recipe)
    return
  }
  const { image, lines } = await pipelinesClient(context).buildImage(pieces(name, found))
  for (const line of lines) await err.line(line)
  await err.line(`Built ${image}`)
  const transform = request.transform ?? create(TransformSchema)
  request.transform = transform
  transform.image = image
  if (transform.cmd.length === 0 && found.recipe !== undefined) {
    transform.cmd = [...found.recipe.command]
  }
}

async function* pieces(
  name: string,
  folder: BuildFolder,
): AsyncGenerator<{
  readonly pipeline?: { readonly name: string }
  readonly archive?: Uint8Array
}> {
  yield { pipeline: { name } }
  for await (const bytes of folder.archive()) {
    for (let at = 0; at < bytes.length; at += pieceBytesMax) {
      yield { archive: bytes.subarray(at, at + pieceBytesMax) }
    }
  }
}
