"""Is something else behind both? Groups, adjustment, sensitivity, and the audit that sets them side by side."""
