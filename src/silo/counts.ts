/** What the silo counts, and what each means; the first five as MSILO calls them (SILO-60), whose names hold (SILO-61). */
export const siloCounts = {
  stored_messages: 'Messages kept, reminders too.',
  dumped_messages: 'Offline messages that a device has taken with 2xx.',
  failed_messages: 'Attempts to deliver an offline message that failed.',
  dumped_reminders: 'Reminders that a device has taken with 2xx.',
  failed_reminders: 'Attempts to deliver a reminder that failed.',
  retries: 'Attempts to deliver what had been tried before.',
  expired_messages: 'Messages removed undelivered, as they had expired (SILO-29).',
  dead_messages: 'Messages refused for good, or too often (SILO-32).',
  demoted_reminders: 'Reminders that became offline messages as their owner was not there (SILO-42).',
  refused_over_messages: 'Messages not kept: their owner had too many.',
  refused_over_octets: 'Messages not kept: their owner had too many octets.',
  refused_over_share: 'Messages not kept: their sender had too many with this owner.',
  refused_overloaded: 'Messages not kept: too many were to be written.',
  refused_unavailable: 'Messages not kept: the disk failed.',
  notices: 'Senders told that their message was kept (SILO-12).',
  notices_held_back: 'Notices not sent: the sender was told within the last minute (SILO-13).',
  imdns: 'Disposition notifications sent (C-9).',
  push_waits: 'Answers that waited for a device to wake up.',
  push_delivered: 'Answers that waited until a device had taken the message.',
  put_off: 'Devices left to their next REGISTER, as too many others waited.',
} as const

export type SiloCount = keyof typeof siloCounts
