import type { CommandFamily, FlagSpec } from '../command.ts'
import { rawFlag } from './common-flags.ts'

const pipelines = async () => import('../commands/pipelines.ts')
const specs = async () => import('../commands/pipeline-specs.ts')

const specFlags: readonly FlagSpec[] = [
  {
    name: 'file',
    short: 'f',
    value: 'SOURCE',
    default: '-',
    about: 'the spec: a local file, an http or https URL, or - for standard input',
  },
  { name: 'push-images', short: 'p', about: 'push local images first; comes later' },
  {
    name: 'registry',
    short: 'r',
    value: 'HOST',
    default: 'docker.io',
    about: 'with --push-images: where to',
  },
  { name: 'username', short: 'u', value: 'NAME', about: 'with --push-images: as whom' },
  { name: 'password', value: 'TEXT', about: 'with --push-images: the password' },
]

const specDetails = `A spec is the JSON form of CreatePipelineRequest. Several may follow each other; they take effect
in order, up to the first that is refused.`

export const pipelineCommands: CommandFamily = {
  title: 'Pipelines',
  commands: [
    {
      name: 'create-pipeline',
      arguments: '',
      about: 'make pipelines from specs',
      details: specDetails,
      examples: ['pachctl create-pipeline -f edges.json', 'pachctl create-pipeline < edges.json'],
      flags: specFlags,
      inTransaction: 'beside',
      load: async () => (await specs()).createPipeline,
    },
    {
      name: 'update-pipeline',
      arguments: '',
      about: 'change pipelines as specs say',
      details: specDetails,
      flags: [
        ...specFlags,
        { name: 'reprocess', about: 'process what has been processed already, too' },
      ],
      inTransaction: 'beside',
      load: async () => (await specs()).updatePipeline,
    },
    {
      name: 'inspect-pipeline',
      arguments: 'PIPELINE',
      about: 'show a pipeline',
      flags: [rawFlag],
      load: async () => (await pipelines()).inspectPipeline,
    },
    {
      name: 'list-pipeline',
      arguments: '',
      about: 'list pipelines',
      flags: [rawFlag],
      load: async () => (await pipelines()).listPipeline,
    },
    {
      name: 'delete-pipeline',
      arguments: '[PIPELINE]',
      about: 'delete a pipeline',
      flags: [
        { name: 'all', about: 'delete every pipeline' },
        { name: 'delete-jobs', about: 'delete its jobs, too' },
        { name: 'delete-repo', about: 'delete its output repo, too' },
      ],
      errorPrefix: 'error from delete-pipeline: ',
      showsStatus: true,
      inTransaction: 'beside',
      load: async () => (await pipelines()).deletePipeline,
    },
    {
      name: 'start-pipeline',
      arguments: 'PIPELINE',
      about: 'go on with a stopped pipeline',
      flags: [],
      errorPrefix: 'error from StartPipeline: ',
      inTransaction: 'beside',
      load: async () => (await pipelines()).startPipeline,
    },
    {
      name: 'stop-pipeline',
      arguments: 'PIPELINE',
      about: 'stop a pipeline; its running job goes on when it is started again',
      flags: [],
      errorPrefix: 'error from StopPipeline: ',
      inTransaction: 'beside',
      load: async () => (await pipelines()).stopPipeline,
    },
  ],
}
