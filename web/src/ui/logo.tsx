/** The mark of pgherd. */
export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 32 32" width="24" height="24" aria-hidden="true">
      <rect width="32" height="32" rx="7" />
      <path d="M9 12v3l7 4 7-4v-3M16 12v8" />
      <circle cx="9" cy="10" r="3" /><circle cx="16" cy="10" r="3" /><circle cx="23" cy="10" r="3" />
      <circle cx="16" cy="23" r="4" />
    </svg>
  );
}
