import type { PipelineInfo } from '../../gen/pps_pb.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { inputRepos, requestedFormat, specFileText } from '../printing/pipeline-spec.ts'
import { pipelinesClient, streamOrElse } from '../own-clients.ts'
import { ppsClient } from '../pps-client.ts'

export async function extractPipeline(context: CommandContext): Promise<void> {
  const { args, flags, out } = context
  const [name] = args
  const all = flags.isOn('all')
  if (all === (name !== undefined)) {
    throw new UsageError('either a pipeline name or the --all flag needs to be provided')
  }
  const format = requestedFormat(flags)
  const pps = ppsClient(context)
  const infos =
    name === undefined
      ? inOrder(await allPipelines(context))
      : [await pps.inspectPipeline({ pipeline: { name } })]
  const texts = await Promise.all(infos.map((info) => specFileText(info, format)))
  await out.write(texts.join(format === 'yaml' ? '---\n' : ''))
}

async function allPipelines(context: CommandContext): Promise<readonly PipelineInfo[]> {
  const ours = pipelinesClient(context).listPipelines({})
  const batches = streamOrElse<{ readonly pipelineInfo: readonly PipelineInfo[] }>(ours, () =>
    ppsClient(context).listPipeline({}),
  )
  const infos: PipelineInfo[] = []
  for await (const { pipelineInfo } of batches) infos.push(...pipelineInfo)
  return infos
}

/** So that each comes after those whose output it reads; by name as far as that allows. */
function inOrder(infos: readonly PipelineInfo[]): readonly PipelineInfo[] {
  const left = new Map(infos.map((info) => [info.pipeline?.name ?? '', info]))
  const ordered: PipelineInfo[] = []
  for (const name of [...left.keys()].toSorted()) place(name)
  return ordered

  function place(name: string): void {
    const info = left.get(name)
    if (info === undefined) return
    left.delete(name)
    for (const repo of inputRepos(info.input).toSorted()) place(repo)
    ordered.push(info)
  }
}
