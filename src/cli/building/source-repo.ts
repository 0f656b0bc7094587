import { create } from '@bufbuild/protobuf'
import { Code } from '../../base/grpc-wire.ts'
import { RpcError } from '../../client/rpc-error.ts'
import {
  AtomInputSchema,
  type CreatePipelineRequest,
  type Input,
  InputSchema,
  TransformSchema,
} from '../../gen/pps_pb.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { pfsClient } from '../pfs-client.ts'
import { commitAround } from '../uploading/commit-around.ts'
import { upload } from '../uploading/upload.ts'
import type { BuildFolder } from './folder.ts'
import type { Recipe } from './languages.ts'

const inputName = 'source'
const branch = 'master'

/**
 * For a server that runs processes: the code becomes a repo that the pipeline reads, at
 * `$PFS/source`, and so is versioned, and part of what outputs are made from.
 */
export async function shipFor(
  context: CommandContext,
  request: CreatePipelineRequest,
  { targets }: BuildFolder,
  recipe: Recipe,
): Promise<void> {
  const { err } = context
  const repo = `${request.pipeline?.name ?? ''}_source`
  if (request.input === undefined) {
    throw new UsageError(
      'a pipeline without input has nowhere to read its code from: give it an input, or run it in a container',
    )
  }
  await makeRepo(context, repo)
  await commitAround(context, { repo, branch, message: 'pachctl --build' }, async (commit) => {
    const file = { commit: { repo: { name: repo }, id: commit }, path: '/' }
    await pfsClient(context).deleteFile({ file })
    const parallelism = 10
    await upload(context, {
      repo,
      commit,
      targets,
      isRecursive: false,
      overwrite: true,
      parallelism,
    })
  })
  await err.line(
    `no container engine builds images here: the code is in repo ${repo}, and runs by programs of the server's machine`,
  )
  if (!isRead(request.input, repo)) request.input = withSource(request.input, repo)
  const transform = request.transform ?? create(TransformSchema)
  request.transform = transform
  if (transform.cmd.length === 0) transform.cmd = ['sh', '-c', recipe.sourceScript]
}

async function makeRepo(context: CommandContext, name: string): Promise<void> {
  try {
    await pfsClient(context).createRepo({ repo: { name }, description: 'code of a pipeline' })
  } catch (error) {
    // By the version before this one.
    if (!(error instanceof RpcError) || !isAlreadyThere(error)) throw error
  }
}

function isAlreadyThere({ code, message }: RpcError): boolean {
  return code === Code.alreadyExists || /already exists/.test(message)
}

function isRead(input: Input, repo: string): boolean {
  const { atom, cross, union } = input
  return atom?.repo === repo || [...cross, ...union].some((member) => isRead(member, repo))
}

/** Each datum gets all of the code. */
function withSource(input: Input, repo: string): Input {
  const atom = create(AtomInputSchema, { name: inputName, repo, branch, glob: '/' })
  const source = create(InputSchema, { atom })
  const members = input.cross.length > 0 ? input.cross : [input]
  return create(InputSchema, { cross: [...members, source] })
}
