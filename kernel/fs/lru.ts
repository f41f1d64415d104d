// Lists in the order of use: a doubly linked list whose links are the first fields of its members,
// and whose ends are the first fields of its owner.

@unmanaged
export class Used {
  newer: Used | null;
  older: Used | null;
}

@unmanaged
export class UseList {
  newest: Used | null;
  oldest: Used | null;
}

export function pushNewest(list: UseList, member: Used): void {
  const newest = list.newest;
  assert(newest != member, "fs: done twice");
  member.newer = null;
  member.older = newest;
  if (newest) newest.newer = member;
  else list.oldest = member;
  list.newest = member;
}

export function pushOldest(list: UseList, member: Used): void {
  const oldest = list.oldest;
  assert(oldest != member, "fs: done twice");
  member.older = null;
  member.newer = oldest;
  if (oldest) oldest.older = member;
  else list.newest = member;
  list.oldest = member;
}

export function unlink(list: UseList, member: Used): void {
  const newer = member.newer;
  const older = member.older;
  assert(newer ? newer.older == member : list.newest == member, "fs: not listed");
  if (newer) newer.older = older;
  else list.newest = older;
  if (older) older.newer = newer;
  else list.oldest = newer;
}
