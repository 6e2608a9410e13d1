export default view(({ root, state, send, local, paint }) => draw_run(root, state, send, local, paint));
