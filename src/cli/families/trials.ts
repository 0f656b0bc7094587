import type { CommandFamily } from '../command.ts'
import { rawFlag, templateFlags } from './common-flags.ts'

const trials = async () => import('../commands/trials.ts')

export const trialCommands: CommandFamily = {
  title: 'Trials',
  commands: [
    {
      name: 'create-trial',
      arguments: 'TRIAL',
      about: 'try changed pipelines or data on all that is downstream, beside the main line',
      details: `Every pipeline that a change reaches runs in the trial too, as PIPELINE--TRIAL, with a repo of that
name; the main line goes on as it was. Results of the main line are reused: only datums that differ
run. A pipeline whose transform is another runs on all its datums, unless --keep-results.`,
      examples: [
        'pachctl create-trial faster -f changed.yaml',
        'pachctl create-trial clean --data images@master=images@cleaned',
      ],
      flags: [
        {
          name: 'file',
          short: 'f',
          value: 'SOURCE',
          about: 'changed or new specs: a local file, a URL, or - for standard input',
        },
        ...templateFlags,
        {
          name: 'data',
          value: 'REPO@BRANCH=REPO@OTHER',
          repeats: true,
          about: 'read another branch of the same repo in place of the one that pipelines read',
        },
        {
          name: 'keep-results',
          about: 'reuse the results of the main line also where the code is another',
        },
        { name: 'reprocess', about: 'run pipelines whose specs are given on all their datums' },
      ],
      inTransaction: 'beside',
      load: async () => (await trials()).createTrial,
    },
    {
      name: 'inspect-trial',
      arguments: 'TRIAL',
      about: 'show how far the pipelines of a trial are, and what is in the way of merging it',
      flags: [{ name: 'block', short: 'b', about: 'wait until nothing of it runs' }, rawFlag],
      load: async () => (await trials()).inspectTrial,
    },
    {
      name: 'list-trial',
      arguments: '',
      about: 'list trials',
      flags: [rawFlag],
      load: async () => (await trials()).listTrial,
    },
    {
      name: 'diff-trial',
      arguments: 'TRIAL [PIPELINE:PATH]',
      about: 'show the files that a trial has written differently',
      details: `Of all its pipelines, or of one, by the name that it has on the main line, with a path or without. get-file shows both sides:
pachctl get-file PIPELINE master PATH, and pachctl get-file PIPELINE--TRIAL master PATH.`,
      examples: ['pachctl diff-trial faster', 'pachctl diff-trial faster edges:/2024'],
      flags: [rawFlag],
      load: async () => (await trials()).diffTrial,
    },
    {
      name: 'merge-trial',
      arguments: 'TRIAL',
      about: 'make what a trial has changed, and what came of it, that of the main line',
      details: `Pipelines become their next versions, data the head of its branch, and the outputs and jobs of the
trial those of the main line: all at one instant, and nothing runs again. What a pipeline wrote
before stays reachable as BRANCH-vVERSION. Refused while something of the trial runs or has failed,
and when the main line has changed so that the two do not fit: it says what to do.`,
      flags: [],
      inTransaction: 'beside',
      load: async () => (await trials()).mergeTrial,
    },
    {
      name: 'delete-trial',
      arguments: 'TRIAL',
      about: 'drop a trial with its pipelines, jobs and outputs; branches that it read stay',
      flags: [],
      inTransaction: 'beside',
      load: async () => (await trials()).deleteTrial,
    },
  ],
}
